from __future__ import annotations

import numpy as np
import pytest

from predgen.report.bootstrap import Resampled, mean_interval, row_interval, share_interval


def test_wilson_of_eight_in_ten() -> None:
    # (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n) with p = 0.8, n = 10, z = 1.96: 0.7169 ± 0.2264.
    found = share_interval([1.0] * 8 + [0.0] * 2)
    assert found == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)


def test_all_right_still_has_a_width() -> None:
    # p = 1: the lower end is n / (n + z²).
    assert share_interval([1.0] * 10) == pytest.approx((1.0, 10 / (10 + 3.8415), 1.0), abs=1e-4)


def test_no_rows_have_no_figure() -> None:
    assert all(np.isnan(share_interval([]))) and all(np.isnan(mean_interval(np.array([]), 100, 0)))


def test_the_bootstrap_of_a_mean_is_as_wide_as_its_standard_error_says() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    found = mean_interval(values, 4000, seed=0)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), rel=0.1)
    assert found == row_interval(values, False, 4000, 0)


def test_differences_are_paired() -> None:
    values = np.random.default_rng(2).normal(0.0, 10.0, 50)
    systems = {"a": lambda rows: {"m": float(values[rows].mean())}, "b": lambda rows: {"m": values[rows].mean() + 1.0}}
    found = Resampled(systems, 50, 200, seed=0)
    assert found.difference("a", "b", "m") == pytest.approx((-1.0, -1.0, -1.0))
    own = found.interval("a", "m")
    assert own.low < own.value < own.high and own.high - own.low > 2.0


def test_what_is_undefined_in_some_resamples_is_left_out() -> None:
    def metric(rows: np.ndarray) -> dict[str, float]:
        return {"m": float("nan") if 0 in rows else 1.0}

    assert Resampled({"a": metric}, 3, 100, seed=0).interval("a", "m")[1:] == (1.0, 1.0)
