"""What a finished run shows of itself: splits, pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from predgen.answers.spaces import FreeNumber, LabelSet, NumberGrid
from predgen.decoding.decide import class_decisions, number_decisions
from predgen.evaluation import Targets, interval_coverages
from predgen.figures import confusion_matrix, learning_curves, predicted_against_true, reliability
from predgen.model.outputs import Scores
from predgen.run import Run
from predgen.training.prepare import Prepared
from predgen.training.run_folder import FIGURES, LOG, SPLITS, write_json


def write_splits(folder: Path, prepared: Prepared) -> None:
    """Writes down which rows of which source were train, dev and test."""
    write_json(folder / SPLITS, splits_of(prepared))


def splits_of(prepared: Prepared) -> dict[str, dict[str, Any]]:
    """Which rows of which source are train, dev and test."""
    parts = {"train": prepared.train, "dev": prepared.dev, "test": prepared.test}
    return {
        name: {"source": part.source, "fingerprint": part.fingerprint, "rows": part.numbers}
        for name, part in parts.items()
    }


def draw_figures(folder: Path, run: Run, reported: tuple[Scores, Targets] | None) -> None:
    """Learning curves, and the default decision against the truth of the reported rows, if there are any.

    Args:
        folder: The run folder; the pictures go to its figures/.
        run: The fitted run.
        reported: Scores and targets of rows that were neither trained nor selected on.
    """
    pictures = folder / FIGURES
    pictures.mkdir(exist_ok=True)
    lines = (folder / LOG).read_text(encoding="utf-8").splitlines()
    learning_curves([json.loads(line) for line in lines], pictures / "learning_curves.png")
    if reported is not None:
        scores, truth = reported
        draw_decision(run, scores, truth, pictures)
        draw_reliability(run, scores, truth, pictures / "reliability.png")


def draw_decision(run: Run, scores: Scores, truth: Targets, pictures: Path) -> Path:
    """The run's default decision against the truth: a confusion matrix, or predicted against true with residuals."""
    decision = run.record.decision
    title = f"{run.record.config['method']}, decision: {decision}, {len(truth)} test rows"
    if not isinstance(run.space, LabelSet):
        values = number_decisions(scores, run.space, run.reader_name)[decision].values.tolist()
        low, high = run.intervals(scores, number_decisions(scores, run.space, run.reader_name)[decision].values)
        path = pictures / "predicted_against_true.png"
        predicted_against_true(
            [float(value) for value in truth],
            values,
            low.tolist(),
            high.tolist(),
            title,
            path,
        )
        return path
    chosen = class_decisions(scores, run.space, run.reader_name)[decision].chosen
    path = pictures / "confusion_matrix.png"
    confusion_matrix(
        [str(value) for value in truth], [run.space.labels[index] for index in chosen], run.space.labels, title, path
    )
    return path


def draw_reliability(run: Run, scores: Scores, truth: Targets, path: Path) -> None:
    """Confidence against accuracy, or levels of the posterior's intervals, where there is one, against coverage."""
    if isinstance(run.space, FreeNumber) or (isinstance(run.space, NumberGrid) and scores.log_posterior is None):
        return  # no distribution, nothing to be relied on
    if isinstance(run.space, NumberGrid):
        levels = [step / 10 for step in range(1, 10)]
        observed = interval_coverages(scores, run.space, [float(value) for value in truth], levels)
        reliability(levels, observed, [len(truth)] * len(levels), "interval level", path)
        return
    decided = class_decisions(scores, run.space, run.reader_name)[run.record.decision]
    gold = np.array([run.space.labels.index(str(value)) for value in truth])
    confidence = decided.probabilities[np.arange(len(gold)), decided.chosen]
    bins = np.clip((confidence * 10).astype(int), 0, 9)
    there = [number for number in range(10) if (bins == number).any()]
    reliability(
        [float(confidence[bins == number].mean()) for number in there],
        [float((decided.chosen == gold)[bins == number].mean()) for number in there],
        [int((bins == number).sum()) for number in there],
        "confidence",
        path,
    )
