from __future__ import annotations

import numpy as np
import pytest

from predgen.calibration_error import calibration_error


def drawn(rows: int, gap: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, and answers that are right so much less often."""
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.6, 0.95, rows)
    return confidence, generator.random(rows) < confidence - gap


def test_chance_alone_is_taken_off() -> None:
    found = [calibration_error(*drawn(600, 0.0, seed), resamples=2) for seed in range(40)]
    plain, debiased = (float(np.mean([error[place] for error in found])) for place in (0, 1))
    # √(0.78 · 0.22 / 40) · √(2/π) = 0.052 of a bin's expected |gap| is chance; nearly half is found by its estimate.
    assert plain == pytest.approx(0.052, abs=0.006)
    assert debiased < 0.75 * plain


def test_a_true_gap_is_found_within_its_interval() -> None:
    confidence, right = drawn(4000, 0.1)
    error = calibration_error(confidence, right, resamples=200)
    assert error.debiased == pytest.approx(0.1, abs=0.015) and error.plain >= error.debiased
    assert error.low < 0.1 < error.high and error.high - error.low < 0.05


def test_one_bin_by_hand() -> None:
    # Accuracy 1/2, confidence 0.8, 4 rows: gap 0.3; its deviation √(0.25 / 3) = 0.2887 makes E|N(0.3, 0.2887)| 0.3446.
    error = calibration_error(np.full(4, 0.8), np.array([True, False, True, False]), bins=1, resamples=2)
    assert error.plain == pytest.approx(0.3)
    assert error.debiased == pytest.approx(0.3 - (0.3446 - 0.3), abs=1e-4)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="9 rows are too few for 5 bins; at least 10"):
        calibration_error(np.full(9, 0.5), np.ones(9, dtype=bool), bins=5)
