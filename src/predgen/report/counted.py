"""The metrics of labels from counts, so that a thousand resamples take a second; see `classification_metrics`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from predgen.data.targets import number_of
from predgen.metrics import ECE_BINS
from predgen.report.types import Floats, Indices


class CountedLabels:
    """`classification_metrics` of any choice of N rows.

    Args:
        gold: (N,) positions of the true labels.
        chosen: (N,) of the predicted ones.
        probabilities: (N, K), rows sum to 1.
        labels: K labels.
        ordered: Whether their order means something.
    """

    def __init__(
        self, gold: Indices, chosen: Indices, probabilities: Floats, labels: Sequence[str], ordered: bool
    ) -> None:
        rows, self._size = np.arange(len(gold)), len(labels)
        self._cell = gold * self._size + chosen
        self._loss = -np.log(np.clip(probabilities[rows, gold], 1e-12, 1.0))
        confidence = probabilities[rows, chosen]
        self._bin = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
        self._gap = (gold == chosen) - confidence
        numbers = [number_of(label) for label in labels]
        if all(value is not None for value in numbers):
            self._places: Floats | None = np.array(numbers, dtype=np.float64)
        else:
            self._places = np.arange(self._size, dtype=np.float64) if ordered else None

    def __call__(self, rows: Indices) -> dict[str, float]:
        """The metrics of these rows, repeats included."""
        size, total = self._size, len(rows)
        counts = np.bincount(self._cell[rows], minlength=size * size).reshape(size, size).astype(np.float64)
        of_truth, of_guess, right = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
        occurring, either = of_truth > 0, of_truth + of_guess > 0
        gaps = np.bincount(self._bin[rows], weights=self._gap[rows], minlength=ECE_BINS)
        return {
            "accuracy": float(right.sum() / total),
            "macro_f1": float((2 * right[either] / (of_truth + of_guess)[either]).mean()),
            "balanced_accuracy": float((right[occurring] / of_truth[occurring]).mean()),
            "mcc": _correlation(float(right.sum()), of_truth, of_guess, float(total)),
            "quadratic_kappa": self._kappa(counts, of_truth, of_guess),
            "log_loss": float(self._loss[rows].mean()),
            "ece": float(np.abs(gaps).sum() / total),
        }

    def _kappa(self, counts: Floats, of_truth: Floats, of_guess: Floats) -> float:
        if self._places is None:
            return math.nan
        distance = (self._places[:, None] - self._places[None]) ** 2
        by_chance = float(of_truth @ distance @ of_guess) / float(counts.sum())
        return 1.0 - float((counts * distance).sum()) / by_chance if by_chance > 0 else math.nan


def _correlation(right: float, of_truth: Floats, of_guess: Floats, total: float) -> float:
    """Matthews' correlation of several labels (Gorodkin 2004); 0 where either side has one label alone."""
    spread = (total**2 - float(of_truth @ of_truth)) * (total**2 - float(of_guess @ of_guess))
    return (right * total - float(of_truth @ of_guess)) / math.sqrt(spread) if spread > 0 else 0.0
