"""A run's metrics on resampled rows: what a paired bootstrap over rows needs, without a row being kept.

Which rows a resample draws follows from the rows' fingerprint alone, so that all cells scored on the same rows have the
very same resamples, whenever and wherever they were made; the difference of two cells' values is then paired.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predgen.answers.spaces import FreeNumber, LabelSet
from predgen.decoding.decide import class_decisions, number_decisions
from predgen.evaluation import Targets
from predgen.metrics import EXACT_WITHIN
from predgen.model.outputs import Scores
from predgen.run import Run

Floats = NDArray[np.float64]
Resampled = Mapping[str, Mapping[str, Floats]]  # decision → metric → (B,)
COUNT = 400


def resampled_metrics(run: Run, scores: Scores, truth: Targets, fingerprint: str, count: int = COUNT) -> Resampled:
    """The metrics that the tables judge, under every decision, on each resample.

    Args:
        run: What gave the scores.
        scores: Of N ≥ 1 rows, calibrated.
        truth: N targets.
        fingerprint: Of these rows.
        count: B.

    Returns:
        accuracy of labels; exact_match, mae and mse of free numbers; mae, mse and pearson of others. (B,) each.
    """
    draws = draw(fingerprint, len(truth), count)
    if isinstance(run.space, LabelSet):
        labels = np.array(run.space.labels, dtype=object)
        gold = np.array([str(target) for target in truth], dtype=object)
        classes = class_decisions(scores, run.space, run.reader_name)
        return {name: {"accuracy": _mean(labels[decided.chosen] == gold)(draws)} for name, decided in classes.items()}
    wanted = np.array([float(target) for target in truth])
    numbers = number_decisions(scores, run.space, run.reader_name)
    exact = isinstance(run.space, FreeNumber)
    return {name: _of_numbers(wanted, decided.values, exact, draws) for name, decided in numbers.items()}


def draw(fingerprint: str, rows: int, count: int = COUNT) -> NDArray[np.int64]:
    """Which rows each resample holds, (B, N), drawn with replacement.

    Args:
        fingerprint: Of the rows, in hexadecimal.
        rows: N.
        count: B.
    """
    chance = np.random.default_rng(int(fingerprint[:16], 16))
    return chance.integers(0, rows, (count, rows))


def pack(resampled: Resampled, full: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, str]]:
    """As JSON holds it: what each resample's value is above the whole rows', as float16, in base 64.

    Args:
        resampled: As `resampled_metrics` gives it.
        full: Decision → metric → value on all rows.
    """
    return {
        decision: {
            name: base64.b64encode((values - full[decision][name]).astype("<f2").tobytes()).decode()
            for name, values in metrics.items()
        }
        for decision, metrics in resampled.items()
    }


def unpack(
    packed: Mapping[str, Mapping[str, str]], full: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Floats]]:
    """What `pack` was given, but for rounding by 0.1% of a resample's distance from the whole.

    Args:
        packed: As `pack` gives it.
        full: As `pack` took it.
    """
    return {
        decision: {
            name: np.frombuffer(base64.b64decode(text), dtype="<f2").astype(float) + _number(full[decision][name])
            for name, text in metrics.items()
        }
        for decision, metrics in packed.items()
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _mean(values: NDArray[Any]) -> Callable[[NDArray[np.int64]], Floats]:
    numbers = values.astype(float)
    return lambda draws: numbers[draws].mean(axis=1)


def _of_numbers(wanted: Floats, got: Floats, exact: bool, draws: NDArray[np.int64]) -> dict[str, Floats]:
    errors = got - wanted
    metrics = {"mae": _mean(np.abs(errors))(draws), "mse": _mean(errors**2)(draws)}
    if exact:
        return {"exact_match": _mean(np.abs(errors) < EXACT_WITHIN)(draws), **metrics}
    return {**metrics, "pearson": _pearson(wanted[draws], got[draws])}


def _pearson(one: Floats, other: Floats) -> Floats:
    """Row by row; NaN where either is constant."""
    one, other = (side - side.mean(axis=1, keepdims=True) for side in (one, other))
    norms = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(norms > 1e-12 * one.shape[1], (one * other).sum(axis=1) / norms, np.nan)
