"""What a run claims against what comes true, before and after the dev rows calibrated it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from predgen.answers.spaces import LabelSet
from predgen.decoding.decide import ClassDecision, class_decisions, number_decisions, weighted_numbers
from predgen.decoding.options import PredictOptions
from predgen.evaluation import Targets, interval_coverages
from predgen.model.outputs import Scores
from predgen.run import Run

LEVELS = tuple(step / 10 for step in range(1, 10))


class Curve(NamedTuple):
    """One line of a reliability figure."""

    name: str
    expected: list[float]  # claimed confidence, or claimed coverage, of each point
    observed: list[float]  # the share that was right, or within
    counts: list[int]  # rows behind each point


def reliability_curves(run: Run, raw: Scores, scores: Scores, truth: Targets) -> list[Curve]:
    """Labels: confidence against accuracy in ten bins. Numbers: levels of intervals against coverage.

    Args:
        run: The fitted run.
        raw: Scores of N rows as the method gave them.
        scores: The same, calibrated.
        truth: N targets.

    Returns:
        As trained and calibrated, where dev rows calibrated anything; of numbers the conformal intervals too, which are
        the only ones where there is no posterior.
    """
    calibrated = scores if run.calibration.rows else None
    if isinstance(run.space, LabelSet):
        return _of_labels(run, run.space, raw, calibrated, truth)
    wanted = np.array([float(value) for value in truth])
    counts = [len(truth)] * len(LEVELS)
    curves = []
    for name, each in (("posterior, as trained", raw), ("posterior, calibrated", calibrated)):
        if each is not None and weighted_numbers(each, run.space) is not None:
            held = interval_coverages(each, run.space, wanted.tolist(), LEVELS)
            curves.append(Curve(name, list(LEVELS), held, counts))
    values = number_decisions(scores, run.space, run.reader_name)[run.record.decision].values
    held = []
    for level in LEVELS:
        low, high = run.intervals(scores, values, PredictOptions(level=level))
        held.append(float(((wanted >= low) & (wanted <= high)).mean()))
    return [*curves, Curve("conformal", list(LEVELS), held, counts)]


def _of_labels(run: Run, space: LabelSet, raw: Scores, calibrated: Scores | None, truth: Targets) -> list[Curve]:
    gold = np.array([space.index(str(value)) for value in truth])
    before = class_decisions(raw, space, run.reader_name)
    # What is mixed by the dev rows is not there before they mix it: then the writer stands alone.
    name = run.record.decision if run.record.decision in before else "mode"
    curves = [_binned(f"{name}, as trained", before[name], gold)]
    if calibrated is not None:
        decided = class_decisions(calibrated, space, run.reader_name)[run.record.decision]
        curves.append(_binned(f"{run.record.decision}, calibrated", decided, gold))
    return curves


def _binned(name: str, decided: ClassDecision, gold: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Curve:
    confidence = decided.probabilities[np.arange(len(gold)), decided.chosen]
    bins = np.clip((confidence * 10).astype(int), 0, 9)
    there = [number for number in range(10) if (bins == number).any()]
    return Curve(
        name,
        [float(confidence[bins == number].mean()) for number in there],
        [float((decided.chosen == gold)[bins == number].mean()) for number in there],
        [int((bins == number).sum()) for number in there],
    )
