"""The PEFT methods of the paper beside full fine-tuning, a learning rate tuned for each: which to choose when.

    python benchmarks/peft_quality.py [--only NAME ...] [--seeds 0,1] [--out runs/peft] [--results FOLDER]

vader-tweets, 400 rows to train on, one epoch of batch 8, SmolLM2-135M with products in bfloat16 (what learns
stays float32), method predgen; decision by MAE on 80 dev rows, reported on 200 test rows that are used for nothing
else. Every method is fitted with seed 0 at each of its rates; the rate with the least MAE on dev is fitted with the
other seeds too, and is what the table shows. Times and memory come from benchmarks/peft_steps.py, which measures them
apart from anything else that runs.

Finished cells are kept: run it again and only what is missing is fitted. It writes peft_quality.json and .md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from predgen import fit, load_config
from spread import spread

COMMON = (
    "method=predgen",
    "data.source=vader-tweets",
    'data.template="Tweet: {text}"',
    "data.target=rating",
    "data.train_size=400",
    "data.dev_size=80",
    "data.test_size=200",
    r'prompt.cue="\nSentiment:"',
    "train.epochs=1",
    "train.batch_size=8",
    "train.evaluations=1",
    "train.precision=bf16",
    "writer.normalise=vocabulary",  # and the loss below: what the finished cells were fitted with
    "loss=wdal_released",
)
HEAD = "lora, pooled head"
# Rank 8 on all linear layers; four rates each, around what suits it, which differs by orders of magnitude. The highest
# was added when most methods did best at the third.
SYSTEMS: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "lora": (("peft.method=lora",), (3e-4, 1e-3, 3e-3, 1e-2)),
    "adalora": (("peft.method=adalora",), (1e-3, 3e-3, 1e-2, 3e-2)),
    "rocoft": (("peft.method=rocoft",), (3e-4, 1e-3, 3e-3, 1e-2)),
    "dora": (("peft.method=dora",), (3e-4, 1e-3, 3e-3, 1e-2)),
    "lora-fa": (("peft.method=lora-fa",), (1e-3, 3e-3, 1e-2, 3e-2)),
    "melora": (("peft.method=melora",), (3e-4, 1e-3, 3e-3, 1e-2)),
    "moslora": (("peft.method=moslora",), (3e-4, 1e-3, 3e-3, 1e-2)),
    "propulsion": (("peft.method=propulsion",), (3e-4, 1e-3, 3e-3, 1e-2)),
    "full": (("peft.method=full",), (1e-5, 3e-5, 1e-4, 3e-4)),
    HEAD: (("peft.method=lora", "method=predictor"), (3e-4, 1e-3, 3e-3, 1e-2)),
}


def cell(name: str, rate: float, seed: int, out: Path) -> dict[str, Any]:
    """Fits one system at one rate with one seed."""
    folder = out / f"{''.join(c if c.isalnum() else '-' for c in name)}-{rate:g}-{seed}"
    settings = [*COMMON, *SYSTEMS[name][0], f"train.learning_rate={rate!r}", f"train.seed={seed}", f"out={folder}"]
    run = fit(load_config(None, settings), overwrite=True)
    test, dev = run.metrics["test"], run.metrics["dev"]
    chosen = test["decisions"][test["decision"]]
    return {
        "system": name,
        "rate": rate,
        "seed": seed,
        "parameters": sum(p.numel() for p in run.run.method.parameters() if p.requires_grad),
        "dev_mae": dev["value"],
        "decision": test["decision"],
        "mae": chosen["mae"],
        "pearson": chosen["pearson"],
        "constant_mae": test["baseline"]["median"]["mae"],
    }


def best_rate(records: list[dict[str, Any]], name: str, first_seed: int) -> float | None:
    """The rate with the least MAE on dev under the first seed; None where none is there yet."""
    tried = [record for record in records if record["system"] == name and record["seed"] == first_seed]
    return min(tried, key=lambda record: record["dev_mae"])["rate"] if tried else None


def table(records: list[dict[str, Any]], first_seed: int) -> str:
    """Markdown: test figures at the best rate, the mean over seeds ± half the range."""
    lines = [
        "| method | parameters | rates tried | best | dev MAE | test MAE | Pearson | seeds |",
        "| --- " * 8 + "|",
    ]
    for name in SYSTEMS:
        rate = best_rate(records, name, first_seed)
        if rate is None:
            continue
        tried = [r for r in records if r["system"] == name and r["seed"] == first_seed]
        mine = [r for r in records if r["system"] == name and r["rate"] == rate]
        rates = ", ".join(f"{r['rate']:g}" for r in sorted(tried, key=lambda r: r["rate"]))
        figures = " | ".join(spread([record[key] for record in mine]) for key in ("dev_mae", "mae", "pearson"))
        lines.append(f"| {name} | {mine[0]['parameters']:,} | {rates} | {rate:g} | {figures} | {len(mine)} |")
    if records:
        lines.append(f"| constant: median of the training rows | | | | | {records[0]['constant_mae']:.3f} | – | |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--only", nargs="*", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--out", type=Path, default=Path("runs/peft"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    kept = arguments.results / "peft_quality.json"
    records: list[dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else []
    arguments.results.mkdir(parents=True, exist_ok=True)
    first, *others = map(int, arguments.seeds.split(","))

    def fill(name: str, rate: float, seed: int) -> None:
        if any((r["system"], r["rate"], r["seed"]) == (name, rate, seed) for r in records):
            return
        records.append(cell(name, rate, seed, arguments.out))
        order = list(SYSTEMS)
        records.sort(key=lambda r: (order.index(r["system"]), r["rate"], r["seed"]))
        kept.write_text(json.dumps(records, indent=1) + "\n")
        kept.with_suffix(".md").write_text(table(records, first))

    # A middle rate of all first, so that a grid that was stopped still says something of each.
    for turn in (1, 0, 2, 3):
        for name in arguments.only:
            fill(name, SYSTEMS[name][1][turn], first)
    for seed in others:
        for name in arguments.only:
            rate = best_rate(records, name, first)
            assert rate is not None
            fill(name, rate, seed)
    print(table(records, first))


if __name__ == "__main__":
    main()
