"""The parts of the method, one changed at a time: directors, losses, modes, histories, beside head and generator.

    python benchmarks/ablations.py [--seeds 0,1] [--only NAME ...] [--precision bf16] [--out DIR] [--results DIR]

vader-tweets, 800 rows to train on, one epoch of batch 16, SmolLM2-135M with LoRA r = 8, lr 1e-3, bfloat16; checkpoint
and decision by MAE on 200 dev rows, reported on 500 test rows that are used for nothing else. Every run is scored under
every decision it allows, so that writer and director are told apart and all methods are compared under the same ones.
Finished cells are kept: run it again and only what is missing is fitted. It writes ablations.json and ablations.md to
the results folder (benchmarks/results, where those of the last full run are); without them every cell is fitted anew.
``--precision fp32`` keeps cells of its own, in ablations_fp32.json and .md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from predgen import fit, load_config
from predgen.training.run_folder import RECORD
from spread import spread

COMMON = (
    "data.source=vader-tweets",
    'data.template="Tweet: {text}"',
    "data.target=rating",
    "data.train_size=800",
    "data.dev_size=200",
    "data.test_size=500",
    r'prompt.cue="\nSentiment:"',
    "train.epochs=1",
    "train.evaluations=2",
    "writer.normalise=vocabulary",
    "writer.start=base",
)
# What differs from the paper's method: probabilities over the whole vocabulary, token sampling to p = 1 at half time,
# value director on the mean state, squared error, released WDAL, every history teaches the director.
VARIANTS: dict[str, tuple[str, ...]] = {
    "predictor": ("method=predictor",),
    "generator": ("method=generator",),
    "predgen, as in the paper": (),
    "director: last state": ("director.pooling=last",),
    "director: attention": ("director.pooling=attention",),
    "director: absolute error": ("director.error=absolute",),
    "director: Huber error": ("director.error=huber",),
    "director: ordered penalty": ("director.kind=ordered",),
    "director: ordered, released": ("director.kind=ordered_released",),
    "director: expected value": ("director.kind=expected",),
    "director: ranked probability": ("director.kind=crps",),
    "director: number token loss": ("director.kind=ntloss",),
    "loss: wdal as printed": ("loss=wdal",),
    "loss: product": ("loss=product",),
    "loss: sum": ("loss=sum",),
    "loss: adaptive": ("loss=adaptive",),
    "loss: director only": ("loss=director_only",),
    "loss: writer only": ("loss=writer_only",),
    "mode: teacher forcing": ("sampling.end=0",),
    "mode: sequence": ("sampling.mode=sequence",),
    "mode: parallel": ("sampling.mode=parallel",),
    "mode: batch": ("sampling.mode=batch",),
    "history: own": ("director.history=own",),
    "history: own, sequence": ("director.history=own", "sampling.mode=sequence"),
    "profile: released": ("profile=released",),
    "expected value + sum, in space": ("director.kind=expected", "loss=sum", "writer.normalise=space"),
    "expected value, in space": ("director.kind=expected", "writer.normalise=space"),
    "ranked probability + sum, in space": ("director.kind=crps", "loss=sum", "writer.normalise=space"),
    "value director + sum, in space": ("loss=sum", "writer.normalise=space"),
    "generator, in space": ("method=generator", "writer.normalise=space"),
    "expected value + sum, in space, from a probe": (
        "director.kind=expected",
        "loss=sum",
        "writer.normalise=space",
        "writer.start=probe",
    ),
    "generator, in space, from a probe": ("method=generator", "writer.normalise=space", "writer.start=probe"),
}
DECISIONS = ("director", "mean", "median", "mode", "greedy", "mixed")


def cell(name: str, seed: int, precision: str, out: Path) -> dict[str, Any]:
    """Fits one variant with one seed, unless its run is there already."""
    folder = out / f"{''.join(c if c.isalnum() else '-' for c in name)}-{seed}"
    if not (folder / RECORD).exists():
        paper = () if "profile=released" in VARIANTS[name] else ("director.kind=value",)
        assignments = [*COMMON, *paper, *VARIANTS[name], f"out={folder}", f"train.seed={seed}"]
        assignments.append(f"train.precision={precision}")
        fit(load_config(None, assignments), overwrite=True)
    test = json.loads((folder / "metrics.json").read_text())["test"]
    # A predictor's head stands where the director's reading would.
    decisions = {"director" if key == "head" else key: value for key, value in test["decisions"].items()}
    chosen = "director" if test["decision"] == "head" else test["decision"]
    return {"variant": name, "seed": seed, "decision": chosen, "decisions": decisions, "interval": test["interval"]}


def table(records: list[dict[str, Any]]) -> str:
    """Markdown: test MAE under each decision, the mean over seeds ± half the range."""
    lines = [
        "| variant | chosen on dev | " + " | ".join(DECISIONS) + " | Pearson (chosen) | seeds |",
        "| --- " * (len(DECISIONS) + 4) + "|",
    ]
    for name in dict.fromkeys(record["variant"] for record in records):
        mine = [record for record in records if record["variant"] == name]
        chosen = [record["decisions"][record["decision"]] for record in mine]
        columns = [spread([values["mae"] for values in chosen])]
        for decision in DECISIONS:
            found = [record["decisions"][decision]["mae"] for record in mine if decision in record["decisions"]]
            columns.append(spread(found) if found else "–")
        columns += [spread([values["pearson"] for values in chosen]), str(len(mine))]
        lines.append(f"| {name} | " + " | ".join(columns) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--out", type=Path, help="of the runs; runs/ablations-PRECISION unless given")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    out = arguments.out or Path(f"runs/ablations-{arguments.precision}")
    kept = arguments.results / ("ablations.json" if arguments.precision == "bf16" else "ablations_fp32.json")
    records: list[dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else []
    done = {(record["variant"], record["seed"]) for record in records}
    arguments.results.mkdir(parents=True, exist_ok=True)
    for seed in map(int, arguments.seeds.split(",")):
        for name in arguments.only:
            if (name, seed) in done:
                continue
            records.append(cell(name, seed, arguments.precision, out))
            order = list(VARIANTS)
            records.sort(key=lambda record: (order.index(record["variant"]), record["seed"]))
            kept.write_text(json.dumps(records, indent=1) + "\n")
            kept.with_suffix(".md").write_text(table(records))
    print(table(records))


if __name__ == "__main__":
    main()
