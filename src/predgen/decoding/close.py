"""Rows that rounding could decide otherwise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST_P = 0.01  # an answer below that moves far in its logarithm and decides nothing


def largest_move(exact: Floats, rounded: Floats) -> float:
    """The largest change of a log-probability, among answers that hold at least 1% in one of the two.

    Args:
        exact: (N, K) log-probabilities.
        rounded: (N, K) the same answers'.
    """
    counts = np.maximum(exact, rounded) >= np.log(LEAST_P)
    return float(np.abs(exact - rounded)[counts].max(initial=0.0))


def close_calls(probabilities: Floats, rounding: float) -> NDArray[np.bool_]:
    """(N,) rows whose two likeliest answers could change places if each moved by the rounding.

    Args:
        probabilities: (N, K), K ≥ 2.
        rounding: The largest change of a log-probability.
    """
    top = np.log(np.partition(probabilities, -2, axis=1)[:, -2:].clip(1e-300))
    close: NDArray[np.bool_] = top[:, 1] - top[:, 0] <= 2 * rounding
    return close
