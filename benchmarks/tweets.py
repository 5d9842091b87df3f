"""The README's table: head, PredGen and generator on rated tweets, each at the learning rate that dev rows chose.

    python benchmarks/tweets.py [--seeds 0,1] [--methods ...] [--rates ...] [--out DIR] [--results DIR]

Settings are recipes/vader_tweets.yaml's, in bfloat16. Every method tries the same rates; with each seed the one with
the least error (MAE) on 200 dev rows is reported on 500 test rows, which are used for nothing else. Finished runs
stay in the results folder's tweets.json (benchmarks/results), and are not fitted again; tweets.md is the table.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

from filelock import FileLock

from predgen import fit, load_config
from predgen.training.run_folder import RECORD
from records import kept_records, write_records
from spread import spread

RECIPE = Path(__file__).parent.parent / "recipes" / "vader_tweets.yaml"
METHODS = ("predictor", "predgen", "generator")
RATES = (4e-4, 1e-3, 2.5e-3, 6e-3)
SETTINGS = {"recipe": RECIPE.stem, "precision": "bf16"}
KEYS = ("mae", "mse", "pearson")
Run = dict[str, Any]


def fitted(method: str, rate: float, seed: int, out: Path) -> Run:
    """What one run had on its dev and test rows; it is fitted unless its folder is there already."""
    folder = out / f"{method}-{rate:g}-{seed}"
    if not (folder / RECORD).exists():
        changed = [
            f"method={method}",
            f"train.learning_rate={rate}",
            f"train.seed={seed}",
            f"train.precision={SETTINGS['precision']}",
        ]
        fit(load_config(RECIPE, [*changed, f"out={folder}"]), overwrite=True)
    metrics = json.loads((folder / "metrics.json").read_text())
    return {"method": method, "rate": rate, "seed": seed, "dev": metrics["dev"], "test": metrics["test"]}


def keep(run: Run, kept: Path) -> None:
    """Adds a run to those on disk, where another process may have added some."""
    with FileLock(kept.parent / f".{kept.name}.lock"):
        runs = [*kept_records(kept, SETTINGS), run]
        runs.sort(key=lambda one: (METHODS.index(one["method"]), one["seed"], one["rate"]))
        write_records(kept, SETTINGS, runs)
        kept.with_suffix(".md").write_text(table(runs))


def table(runs: list[Run]) -> str:
    """Markdown: each method under each of its decisions, the mean over seeds ± half their range."""
    lines = ["| method | rates | decision | MAE | MSE | Pearson | interval held | seeds |", "| --- " * 8 + "|"]
    for method in dict.fromkeys(run["method"] for run in runs):
        mine = [run for run in runs if run["method"] == method]
        seeds = sorted({run["seed"] for run in mine})
        best = [min((run for run in mine if run["seed"] == seed), key=dev_error) for seed in seeds]
        rates = ", ".join(f"{run['rate']:g}" for run in best)
        held = spread([run["test"]["interval"]["coverage"] for run in best])
        chosen = [run["test"]["decision"] for run in best]
        columns = {f"chosen on dev: {', '.join(dict.fromkeys(chosen))}": chosen}
        columns |= {name: [name] * len(best) for name in best[0]["test"]["decisions"]}
        for named, decisions in columns.items():
            found = [run["test"]["decisions"][name] for run, name in zip(best, decisions, strict=True)]
            numbers = " | ".join(spread([values[key] for values in found]) for key in KEYS)
            lines.append(f"| {method} | {rates} | {named} | {numbers} | {held} | {len(best)} |")
    return "\n".join(lines) + "\n"


def dev_error(run: Run) -> float:
    """MAE on dev at the chosen checkpoint, under the decision that is best there."""
    return float(run["dev"]["value"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS)
    parser.add_argument("--rates", nargs="*", type=float, default=RATES)
    parser.add_argument("--out", type=Path, default=Path("runs/tweets"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    kept = arguments.results / "tweets.json"
    arguments.results.mkdir(parents=True, exist_ok=True)
    seeds = map(int, arguments.seeds.split(","))
    for seed, method, rate in product(seeds, arguments.methods, arguments.rates):
        done = {(run["seed"], run["method"], run["rate"]) for run in kept_records(kept, SETTINGS)}
        if (seed, method, rate) not in done:
            keep(fitted(method, rate, seed, arguments.out), kept)
    print(table(kept_records(kept, SETTINGS)))


if __name__ == "__main__":
    main()
