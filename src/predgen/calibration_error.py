"""How far confidences are from the share that is right, without what chance adds to such a figure.

In bins of few rows the gap between confidence and accuracy is never nought, even of a perfectly calibrated model: a
plain calibration error is too high, the more so the fewer rows there are (Roelofs et al. 2022).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]
BINS = 15


class CalibrationError(NamedTuple):
    """Expected calibration error, a mean of absolute gaps; all in [0, 1]."""

    plain: float  # Σ over bins of their share · |accuracy − mean confidence|
    debiased: float  # less what chance alone adds (Kumar et al. 2019, section 5, of absolute gaps)
    low: float  # of a basic bootstrap interval around `debiased`; clipped at 0
    high: float


class _Gaps(NamedTuple):
    """Bins of equal mass, K of them."""

    share: Floats  # (K,) sums to 1
    gap: Floats  # (K,) accuracy − mean confidence
    deviation: Floats  # (K,) standard error of the accuracy


def calibration_error(
    confidence: Floats,
    right: NDArray[np.bool_],
    bins: int = BINS,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> CalibrationError:
    """Equal-mass bins; each one's gap taken as normal around the true one, as in Kumar et al. (2019).

    Where the bin's true gap is g and its standard error s, the expected |gap| is that of a folded normal, which is
    above |g|. The difference is estimated at the gap that was seen, and taken off. The bootstrap's own truth is the
    plain error of the rows at hand, so it is the distance from that which its resamples show.

    Args:
        confidence: (N,) of the chosen answer, in [0, 1].
        right: (N,) whether it was right.
        bins: K, at most N / 2.
        resamples: Of the bootstrap.
        level: Of its interval.
        seed: Of its draws.

    Raises:
        ValueError: If there are fewer than two rows a bin.
    """
    rows = len(confidence)
    if rows < 2 * bins:
        raise ValueError(f"{rows} rows are too few for {bins} bins; at least {2 * bins} are needed.")
    gaps = _gaps(confidence, right, bins)
    plain, debiased = _plain(gaps), _debiased(gaps)
    generator = np.random.default_rng(seed)
    distances = []
    for _ in range(resamples):
        drawn = generator.integers(0, rows, rows)
        distances.append(_debiased(_gaps(confidence[drawn], right[drawn], bins)) - plain)
    far = np.quantile(distances, [(1 + level) / 2, (1 - level) / 2])
    low, high = np.clip(debiased - far, 0.0, 1.0)
    return CalibrationError(plain, max(0.0, debiased), float(low), float(high))


def _gaps(confidence: Floats, right: NDArray[np.bool_], bins: int) -> _Gaps:
    order = confidence.argsort(kind="stable")
    parts = np.array_split(order, bins)
    counts = np.array([len(part) for part in parts])
    accuracy = np.array([right[part].mean() for part in parts])
    gap = accuracy - np.array([confidence[part].mean() for part in parts])
    return _Gaps(counts / counts.sum(), gap, np.sqrt(accuracy * (1 - accuracy) / (counts - 1)))


def _plain(gaps: _Gaps) -> float:
    return float((gaps.share * np.abs(gaps.gap)).sum())


def _debiased(gaps: _Gaps) -> float:
    size, deviation = np.abs(gaps.gap), np.maximum(gaps.deviation, 1e-12)
    ratio = size / deviation
    folded = 2 * deviation * norm.pdf(ratio) + size * (1 - 2 * norm.cdf(-ratio))
    return float((gaps.share * (2 * size - folded)).sum())
