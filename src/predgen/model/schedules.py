"""How the share of own tokens grows over training (Bengio et al. 2015; section 6)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from predgen.config import ScheduleName

Schedule = Callable[[float], float]

# What is left of the way from `start` to `end` after `steps`, where a schedule only approaches `end`.
_LEFT_OVER = 0.01


def build_schedule(name: ScheduleName, start: float, end: float, steps: float) -> Schedule:
    """Optimizer step s → p(s), the probability that an answer token of the history is the model's own.

    All run from `start` towards `end`, and `steps` means about the same in each: when they have got there.

    Args:
        name: "linear", "constant" (`end` from the first step on), "inverse_sigmoid" or "exponential".
        start: p at step 0, in [0, 1].
        end: p in the long run, in [0, 1].
        steps: How long p takes to get there, positive.
    """
    return partial(_between, start, end, _PROGRESS[name](steps))


def _between(start: float, end: float, progress: Schedule, step: float) -> float:
    return start + (end - start) * progress(step)


def _constant(steps: float) -> Schedule:
    return lambda step: 1.0


def _linear(steps: float) -> Schedule:
    return lambda step: min(1.0, step / steps)


def _inverse_sigmoid(steps: float) -> Schedule:
    """1 − k / (k + exp(s / k)), its k such that half of the way is reached at steps / 2: k · ln k = steps / 2."""
    from scipy.special import lambertw

    k = math.exp(float(lambertw(steps / 2).real))

    def progress(step: float) -> float:
        # Written so that a large step cannot overflow.
        return 1.0 / (1.0 + k * math.exp(-step / k))

    return progress


def _exponential(steps: float) -> Schedule:
    """1 − k^s, its k such that 99% of the way is done after `steps`."""
    return lambda step: 1.0 - float(_LEFT_OVER ** (step / steps))


_PROGRESS: dict[ScheduleName, Callable[[float], Schedule]] = {
    "constant": _constant,
    "linear": _linear,
    "inverse_sigmoid": _inverse_sigmoid,
    "exponential": _exponential,
}
