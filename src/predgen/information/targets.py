"""What is predicted, as the estimators take it: class codes, or numbers brought to a standard normal shape.

Mutual information does not change under invertible maps of a target. So numbers are spread evenly over the step they
are written in (Y can still be read off, and the noise is independent of all else: I(A; Y + U) = I(A; Y)) and mapped,
rank by rank, to normal scores. Their entropy is then known, ½ log 2πe each, and no single far-off target rules a fit.
What caps the information is the entropy of the target as it is written, on its grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from predgen.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Target:
    """N targets.

    Args:
        codes: (N,) classes from 0 on; None for numbers.
        values: (N, q) normal scores; None for classes.
        entropy: H(Y) in nats, which no information about Y can exceed; None where nothing caps it.
        cap: Which entropy that is, in words.
    """

    codes: Integers | None
    values: Floats | None
    entropy: float | None
    cap: str

    @property
    def classes(self) -> int:
        """How many classes; 0 for numbers."""
        return 0 if self.codes is None else int(self.codes.max()) + 1

    def __len__(self) -> int:
        part = self.codes if self.codes is not None else self.values
        assert part is not None
        return len(part)


def discrete_target(labels: Sequence[object]) -> Target:
    """Classes.

    Args:
        labels: N labels; equal ones are one class.

    Raises:
        DataError: If all are alike: nothing can be known of a constant.
    """
    names = sorted({str(label) for label in labels})
    if len(names) < 2:
        raise DataError(f"All {len(labels)} targets are {names[0]!r}.", "Information needs a target that varies.")
    places = {name: place for place, name in enumerate(names)}
    codes = np.array([places[str(label)] for label in labels])
    return Target(codes, None, entropy_of(codes), f"H(Y) of {len(names)} classes")


def continuous_target(
    values: Sequence[float] | Floats, fit_rows: Integers, step: float | None = None, seed: int = 0
) -> Target:
    """Numbers.

    Args:
        values: (N,) or (N, q).
        fit_rows: The rows that the rank map is learned from.
        step: The distance of two neighbouring written numbers; None: the numbers are continuous, and nothing caps them.
        seed: Of the spreading over a step.

    Raises:
        DataError: If the numbers do not vary.
    """
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[:, None] if numbers.ndim == 1 else numbers
    if (numbers.std(axis=0) == 0).any():
        raise DataError(f"All {len(numbers)} targets are {numbers[0, 0]:g}.", "Information needs a target that varies.")
    entropy, cap = None, "no entropy caps it: the target is continuous"
    if step is not None:
        written = np.rint(numbers / step)  # of a log grid more steps than an integer holds
        if len(np.unique(written)) < 2:
            raise DataError(f"All targets are alike once written in steps of {step:g}.", "They need to vary.")
        entropy = entropy_of(np.unique(written, axis=0, return_inverse=True)[1].reshape(-1))
        cap = f"H(Y) of the target written in steps of {step:g}"
        numbers = written * step + np.random.default_rng(seed).uniform(-step / 2, step / 2, numbers.shape)
    scores = np.stack([_normal_scores(column, column[fit_rows]) for column in numbers.T], axis=1)
    return Target(None, scores, entropy, cap)


def entropy_of(codes: Integers) -> float:
    """Entropy in nats: plug-in, and Miller and Madow's correction, (k − 1) / 2N; at most log k, k classes being seen.

    Args:
        codes: (N,) any integers.
    """
    counts = np.unique(codes, return_counts=True)[1]
    shares = counts / counts.sum()
    plug_in = float(-(shares * np.log(shares)).sum())
    return min(plug_in + (len(counts) - 1) / (2 * len(codes)), math.log(len(counts)))


def _normal_scores(column: Floats, fitted: Floats) -> Floats:
    """Each number's place among the fitted ones, as a quantile of the standard normal."""
    ordered = np.sort(fitted)
    ranks = (np.arange(len(ordered)) + 0.5) / len(ordered)
    # Beyond the ends, and in gaps, the map goes on in a straight line between neighbours: strictly increasing inside.
    shares = np.interp(column, ordered, ranks)
    scores: Floats = norm.ppf(shares)
    return scores
