"""How sure figures are that rest on so many rows: intervals by resampling rows, and of shares by Wilson."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from predgen.report.types import Floats, MetricsOf

LEVEL = 0.95
_ENDS = [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2]


class Interval(NamedTuple):
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float


class Resampled:
    """Metrics of several systems on the same resampled rows, which pairs them.

    Args:
        systems: Name → its metrics as a function of which rows count.
        rows: N.
        resamples: Of the bootstrap.
        seed: Of its draws.
    """

    def __init__(self, systems: Mapping[str, MetricsOf], rows: int, resamples: int, seed: int) -> None:
        chance, everything = np.random.default_rng(seed), np.arange(rows)
        self.resamples = resamples
        self._values = {name: dict(metrics(everything)) for name, metrics in systems.items()}
        self._drawn = {
            name: {metric: np.full(resamples, np.nan) for metric in values} for name, values in self._values.items()
        }
        for place in range(resamples):
            chosen = chance.integers(0, rows, rows)
            for name, metrics in systems.items():
                for metric, value in metrics(chosen).items():
                    self._drawn[name][metric][place] = value

    def interval(self, system: str, metric: str) -> Interval:
        """A metric on all rows, with its interval; NaN where it is undefined."""
        value = self._values[system][metric]
        return Interval(value, *_percentiles(self._drawn[system][metric]))

    def difference(self, system: str, other: str, metric: str) -> Interval:
        """One system's metric less another's, with the paired interval."""
        drawn = self._drawn[system][metric] - self._drawn[other][metric]
        return Interval(self._values[system][metric] - self._values[other][metric], *_percentiles(drawn))


def mean_interval(values: Floats, resamples: int, seed: int) -> Interval:
    """A mean over rows with its bootstrap interval; NaN without rows, no width with one."""
    if not len(values):
        return Interval(math.nan, math.nan, math.nan)
    chance, rows = np.random.default_rng(seed), len(values)
    drawn = np.array([values[chance.integers(0, rows, rows)].mean() for _ in range(resamples)])
    return Interval(float(values.mean()), *_percentiles(drawn))


def share_interval(right: Sequence[float] | Floats) -> Interval:
    """A share of rows with its 95% interval (Wilson 1927), which has a width even where all rows are right.

    Args:
        right: 1 or 0 a row.
    """
    rows = len(right)
    if not rows:
        return Interval(math.nan, math.nan, math.nan)
    share, z = float(np.mean(right)), 1.959963984540054
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def row_interval(values: Floats, is_share: bool, resamples: int, seed: int) -> Interval:
    """`share_interval` or `mean_interval`, as the rows' values ask."""
    return share_interval(values) if is_share else mean_interval(values, resamples, seed)


def _percentiles(drawn: NDArray[np.float64]) -> tuple[float, float]:
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return math.nan, math.nan
    low, high = np.percentile(finite, _ENDS)
    return float(low), float(high)
