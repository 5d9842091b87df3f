from __future__ import annotations

import math

import numpy as np
import pytest

from predgen.compare import _bootstrap, paired_difference

ROWS = 200


def comparison(*errors: np.ndarray) -> list:
    facts = [(f"runs/{number}", "predgen", "mean") for number in range(len(errors))]
    metrics = [lambda chosen, e=e: float(e[chosen].mean()) for e in errors]
    return _bootstrap(metrics, facts, ROWS, resamples=2000, seed=0)


def test_a_run_does_not_differ_from_itself() -> None:
    errors = np.random.default_rng(0).random(ROWS)
    first, again = comparison(errors, errors)
    assert first.p is None
    assert (again.difference, again.difference_low, again.difference_high, again.p) == (0.0, 0.0, 0.0, 1.0)


def test_what_no_resample_defines_is_no_difference() -> None:
    """Of a constant prediction there is no correlation: that must not read as a significant one."""
    errors, nothing = np.random.default_rng(0).random(ROWS), np.full(ROWS, np.nan)
    _, second = comparison(errors, nothing)
    assert all(map(math.isnan, (second.low, second.difference_low, second.difference_high, second.p)))


def test_resamples_without_a_difference_are_left_out_of_the_p_value() -> None:
    values = np.where(np.arange(1000) < 990, np.nan, np.where(np.arange(1000) < 995, -1.0, 1.0))
    assert paired_difference(values, np.zeros(1000)).p == 1.0


def test_a_means_interval_is_the_normal_one() -> None:
    errors = np.random.default_rng(1).random(ROWS)
    (first, _) = comparison(errors, errors)
    half = 1.96 * errors.std() / ROWS**0.5
    assert first.low == pytest.approx(errors.mean() - half, abs=0.1 * half)
    assert first.high == pytest.approx(errors.mean() + half, abs=0.1 * half)


def test_pairing_finds_what_single_intervals_hide() -> None:
    """The rows differ far more than the runs do; on the same rows the small difference is plain."""
    hard = np.random.default_rng(2).random(ROWS) * 10
    first, second = comparison(hard, hard + 0.1 + 0.2 * np.random.default_rng(3).standard_normal(ROWS))
    assert first.high > second.low  # the intervals overlap widely
    assert second.difference_low > 0
    assert second.p < 0.01
