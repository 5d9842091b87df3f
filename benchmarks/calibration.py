"""How far probabilities and intervals hold on thousands of rows that nothing was fitted or selected on.

    python benchmarks/calibration.py [--seeds 0] [--only CELL] [--finished] [--out runs/calibration] [--json FILE]

vader-movies at the demo's settings (recipes/demo.yaml: 400 rows to train on, one epoch of batch 8, lr 1e-3, two
evaluations; SmolLM2-135M, LoRA r = 8), 200 dev rows, split seed 0: `polarity` (two labels) and `rating` (81 numbers),
by predgen and by a pooled head. 4,000 other rows are reported on; 1,000 more calibrate once again, to see what
more rows than dev has would give. Fits and scores are kept in the output folder: run it again and only what is missing
is done.

Labels: debiased expected calibration error of the default decision's probabilities (15 bins of equal mass, basic
bootstrap of 1,000 resamples), coverage and size of the 90% sets. Numbers: coverage and mean width of the 90% intervals
around the default decision, and of the posterior's own; the gap between claimed and observed coverage, mean over the
levels 10% to 90%. The error of a coverage is that of 4,000 rows and, beside it, with the chance of the calibration
rows' draw.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import predgen
from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.calibration_error import calibration_error
from predgen.data.columns import read_targets
from predgen.data.sources import read_table
from predgen.decoding.calibrate import Calibration, fit_calibration
from predgen.decoding.conformal import Conformal, difficulties_of, held_out_errors
from predgen.decoding.decide import class_decisions, number_decisions
from predgen.evaluation import Targets, interval_coverages, posterior_quality, set_quality
from predgen.metrics import interval_metrics
from predgen.model.outputs import Scores
from predgen.reliability import LEVELS
from predgen.run import Run
from predgen.training.run_folder import RECORD, SPLITS

DEMO = "recipes/demo.yaml"
DEV_ROWS, MORE_ROWS, REPORTED = 200, 1000, 4000
LEVEL = 0.9
SCORES = "scores.safetensors"
CELLS = [(task, method) for task in ("polarity", "rating") for method in ("predgen", "predictor")]


def fitted(target: str, method: str, seed: int, folder: Path) -> Run:
    """The run of a cell, fitted unless it is there."""
    if not (folder / RECORD).exists():
        assignments = [
            f"method={method}", "data.source=vader-movies", 'data.template="Review: {text}"', f"data.target={target}",
            f"data.dev_size={DEV_ROWS}", "data.test_size=0", f"train.seed={seed}", f"out={folder}",
            "writer.normalise=vocabulary", "loss=wdal_released",
        ]  # fmt: skip
        predgen.fit(predgen.load_config(DEMO, assignments), overwrite=True)
    return predgen.load(folder)


def other_rows(folder: Path) -> list[int]:
    """Rows of neither train nor dev: those that calibrate once more in front, those reported on behind them."""
    used = {row for part in json.loads((folder / SPLITS).read_text()).values() for row in part["rows"]}
    left = [row for row in range(len(read_table("vader-movies").good_rows)) if row not in used]
    return np.random.default_rng(0).permutation(left)[: MORE_ROWS + REPORTED].tolist()


def scored(run: Run, numbers: list[int], folder: Path) -> tuple[Scores, Targets]:
    """Scores as the method gave them, and the targets."""
    table = read_table("vader-movies")
    rows = [table.good_rows[number] for number in numbers]
    kept = folder / SCORES
    if not kept.exists():
        done, say = 0, 0

        def progress(count: int) -> None:
            nonlocal done, say
            done += count
            if done >= say:
                print(f"  {folder.name}: {done} of {len(rows)} rows scored", flush=True)
                say = done + 1000

        scores = run.score_raw([run.body(row) for row in rows], progress)
        save_file({name: field for name, field in scores._asdict().items() if field is not None}, kept)
    return Scores.nothing()._replace(**load_file(kept)), read_targets(rows, run.record.target, run.record.task)


def part_of(scores: Scores, rows: slice) -> Scores:
    return Scores(*(None if field is None else field[rows] for field in scores))


def of_labels(run: Run, space: LabelSet, scores: Scores, conformal: Conformal | None, truth: Targets) -> dict[str, Any]:
    decisions = class_decisions(scores, space, run.reader_name)
    # What the dev rows mix is not there before they mix it: then the writer stands alone.
    name = run.record.decision if run.record.decision in decisions else "mode"
    decided = decisions[name]
    gold = np.array([space.index(str(label)) for label in truth])
    rows = np.arange(len(gold))
    error = calibration_error(decided.probabilities[rows, decided.chosen], decided.chosen == gold)
    found: dict[str, Any] = {
        "decision": name,
        "accuracy": float((decided.chosen == gold).mean()),
        "log_loss": float(-np.log(decided.probabilities[rows, gold].clip(1e-12)).mean()),
        "ece_plain": error.plain,
        "ece": error.debiased,
        "ece_low": error.low,
        "ece_high": error.high,
    }
    if conformal is not None:
        found |= set_quality(conformal.sets(decided.probabilities, LEVEL), space.labels, truth)
    return found


def of_numbers(
    run: Run, grid: NumberGrid, scores: Scores, conformal: Conformal | None, truth: Targets
) -> dict[str, Any]:
    decisions = number_decisions(scores, grid, run.reader_name)
    name = run.record.decision if run.record.decision in decisions else "mean"
    values, wanted = decisions[name].values, [float(number) for number in truth]
    found: dict[str, Any] = {"decision": name, "mae": float(np.abs(values - np.array(wanted)).mean())}
    if conformal is not None:
        low, high = conformal.intervals(values, difficulties_of(scores, grid), LEVEL, grid.low, grid.high)
        found |= interval_metrics(wanted, grid.admit(low).tolist(), grid.admit(high).tolist())
    if scores.log_posterior is not None:
        held = interval_coverages(scores, grid, wanted, LEVELS)
        found |= posterior_quality(scores, grid, truth)
        found["level_gap"] = float(np.abs(np.array(held) - np.array(LEVELS)).mean())
    return found


def judge(run: Run, scores: Scores, truth: Targets) -> list[dict[str, Any]]:
    """The reported rows as trained, by the run's own dev rows, and by more rows than it had."""
    more, rest = slice(0, MORE_ROWS), slice(MORE_ROWS, MORE_ROWS + REPORTED)
    again = fit_calibration(part_of(scores, more), run.space, truth[more], run.record.metric)
    held = held_out_errors(
        again.apply(part_of(scores, more), run.space), run.space, run.record.decision, run.reader_name, truth[more]
    )
    ways: list[tuple[str, int, Calibration, Conformal | None]] = [
        ("as trained", 0, Calibration(), None),
        ("dev rows", DEV_ROWS, run.calibration, run.conformal[run.record.decision]),
        ("other rows", MORE_ROWS, again, held),
    ]
    records = []
    for name, count, calibration, conformal in ways:
        applied = calibration.apply(part_of(scores, rest), run.space)
        measure = of_labels if isinstance(run.space, LabelSet) else of_numbers
        found = measure(run, run.space, applied, conformal, truth[rest])  # type: ignore[arg-type]
        if "coverage" in found:
            variance = LEVEL * (1 - LEVEL)
            found["coverage_se"] = float(np.sqrt(variance / REPORTED))
            found["coverage_se_with_draw"] = float(np.sqrt(variance / REPORTED + variance / count))
        temperatures = {"posterior": calibration.posterior, "reader": calibration.reader, "mix": calibration.mix}
        records.append({"calibrated_by": name, "calibration_rows": count, **found, "temperatures": temperatures})
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--out", type=Path, default=Path("runs/calibration"))
    parser.add_argument("--only", help="one cell, e.g. polarity-predgen; fits and scores it, reports nothing")
    parser.add_argument("--finished", action="store_true", help="report the cells that are there, and fit no other")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    records = []
    for seed in map(int, arguments.seeds.split(",")):
        for target, method in CELLS:
            if arguments.only not in (None, f"{target}-{method}"):
                continue
            folder = arguments.out / f"{target}-{method}-{seed}"
            if arguments.finished and not (folder / SCORES).exists():
                continue
            run = fitted(target, method, seed, folder)
            scores, truth = scored(run, other_rows(folder), folder)
            if arguments.only:
                continue
            for record in judge(run, scores, truth):
                records.append({"target": target, "method": method, "seed": seed, **record})
                print(json.dumps(records[-1]), flush=True)
    if arguments.json:
        settings = {"train": 400, "dev": DEV_ROWS, "reported": REPORTED, "torch": torch.__version__}
        arguments.json.write_text(json.dumps({"settings": settings, "records": records}, indent=2) + "\n")


if __name__ == "__main__":
    main()
