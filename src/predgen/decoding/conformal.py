"""Intervals and sets that hold a stated share of new rows: split conformal prediction, by the library crepes.

The guarantee is for rows like the held-out ones (exchangeable with them); those have also chosen the checkpoint and the
decision, which makes the statement slightly optimistic.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predgen.answers.spaces import LabelSet, Numbers, Space
from predgen.decoding.decide import class_decisions, number_decisions, number_distribution
from predgen.model.outputs import Scores

Floats = NDArray[np.float64]
# Of 9 rows the 9th error holds a level of 0.9 exactly; but 1 - 0.9 is a little below 0.1, and would ask for a 10th.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Conformal:
    """How far off predictions were on held-out rows.

    Args:
        errors: Numbers: |target − prediction| of each row. Classes: 1 − the probability of the row's own class.
        difficulties: Numbers: the posterior's standard deviation of each row, which intervals widen with; None where
            there is no posterior, and for classes.
    """

    errors: tuple[float, ...]
    difficulties: tuple[float, ...] | None = None

    def intervals(
        self, values: Floats, difficulties: Floats | None, level: float, low: float, high: float
    ) -> tuple[Floats, Floats]:
        """Lower and upper ends that hold new targets with at least a stated probability.

        Args:
            values: (N,) predictions.
            difficulties: (N,), where the held-out rows have them.
            level: In (0, 1). Too high for the held-out rows (above n / (n + 1)), the interval is the whole range.
            low: The smallest number there is.
            high: The largest.
        """
        from crepes import ConformalRegressor

        with _without_warning():
            fitted = ConformalRegressor().fit(np.array(self.errors), _or_none(self.difficulties))
            ends = fitted.predict_int(values, difficulties, confidence=level - _ROUNDING, y_min=low, y_max=high)
        return ends[:, 0], ends[:, 1]

    def sets(self, probabilities: Floats, level: float) -> NDArray[np.bool_]:
        """(N, K); which classes belong to each row's set, which holds the row's own with a stated probability.

        Args:
            probabilities: (N, K).
            level: In (0, 1).
        """
        from crepes import ConformalClassifier

        with _without_warning():
            fitted = ConformalClassifier().fit(np.array(self.errors))
            held = fitted.predict_set(1.0 - probabilities, confidence=level - _ROUNDING, smoothing=False)
        return np.asarray(held, dtype=bool)

    def to_json(self) -> dict[str, Any]:
        """A JSON form that `conformal_from_json` reads back."""
        return asdict(self)


def held_out_errors(
    scores: Scores, space: Space, decision: str, reader_name: str | None, truth: Sequence[str] | Sequence[float]
) -> Conformal:
    """How far off one decision is on rows that were not trained on.

    Args:
        scores: Of N rows, calibrated.
        space: The answers.
        decision: Its name.
        reader_name: What the method calls its director or head.
        truth: N targets.
    """
    if isinstance(space, LabelSet):
        decided = class_decisions(scores, space, reader_name)[decision]
        gold = np.array([space.index(target) for target in truth])
        return Conformal(tuple((1.0 - decided.probabilities[np.arange(len(gold)), gold]).tolist()))
    values = number_decisions(scores, space, reader_name)[decision].values
    difficulties = difficulties_of(scores, space)
    return Conformal(
        tuple(np.abs(values - np.array(truth, dtype=float)).tolist()),
        None if difficulties is None else tuple(difficulties.tolist()),
    )


def difficulties_of(scores: Scores, space: Numbers) -> Floats | None:
    """The posterior's standard deviation of each row, (N,); None where there is no posterior."""
    distribution = number_distribution(scores, space)
    return None if distribution is None else distribution.deviation


def conformal_from_json(record: Mapping[str, Any]) -> Conformal:
    """Reads back what `to_json` wrote.

    Raises:
        ValueError: If it is damaged.
    """
    try:
        difficulties = record["difficulties"]
        return Conformal(
            tuple(map(float, record["errors"])), None if difficulties is None else tuple(map(float, difficulties))
        )
    except (KeyError, TypeError) as problem:
        raise ValueError(f"the record of held-out errors is damaged: {problem!r}") from problem


def _or_none(values: tuple[float, ...] | None) -> Floats | None:
    return None if values is None else np.array(values)


@contextmanager
def _without_warning() -> Iterator[None]:
    """Crepes warns where the held-out rows are too few for a level; the interval or set says it too: it holds all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
