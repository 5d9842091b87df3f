"""What a finished run shows of itself: splits, pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from predgen.answers.spaces import LabelSet
from predgen.base_run import BaseRun
from predgen.decoding.decide import class_decisions, number_decisions
from predgen.evaluation import Targets
from predgen.figures import confusion_matrix, learning_curves, predicted_against_true, reliability
from predgen.model.outputs import Scores
from predgen.reliability import reliability_curves
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


def draw_figures(
    folder: Path, run: BaseRun, reported: tuple[Sequence[Scores], Sequence[Scores], Sequence[Targets]] | None
) -> None:
    """Learning curves; of the reported rows, the default decision against the truth and how reliable its claims are.

    Args:
        folder: The run folder; the pictures go to its figures/, those of several fields to a folder each.
        run: The fitted run.
        reported: Raw scores, calibrated scores and targets of rows that were neither trained nor selected on, one for
            each answer.
    """
    pictures = folder / FIGURES
    pictures.mkdir(exist_ok=True)
    lines = (folder / LOG).read_text(encoding="utf-8").splitlines()
    learning_curves([json.loads(line) for line in lines], pictures / "learning_curves.png")
    if reported is None:
        return
    for place, (part, raw, scores, truth) in enumerate(zip(run.parts.values(), *reported, strict=True)):
        # Fields are called as their users like; a folder's name may not hold everything.
        into = (
            pictures
            if len(run.parts) == 1
            else pictures / f"{place}-{re.sub(r'[^0-9A-Za-z_-]+', '-', part.record.target)}"
        )
        into.mkdir(exist_ok=True)
        draw_decision(part, scores, truth, into)
        kind = "confidence" if isinstance(part.space, LabelSet) else "interval level"
        reliability(reliability_curves(part, raw, scores, truth), kind, into / "reliability.png")


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
