from __future__ import annotations

import numpy as np
import pytest
import torch

from predgen.answers.free_number import FreeNumber
from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.decoding.calibrate import Calibration, fit_calibration
from predgen.model.outputs import Scores

LABELS = LabelSet(("a", "b", "c"))
GRID = NumberGrid(0, 4, 0)


def drawn(rows: int, classes: int, seed: int) -> tuple[torch.Tensor, list[int]]:
    """Log-probabilities, and outcomes drawn from them: as calibrated as can be."""
    chance = np.random.default_rng(seed)
    logs = torch.from_numpy(chance.normal(0, 1.5, (rows, classes))).log_softmax(dim=1)
    return logs, [int(chance.choice(classes, p=row)) for row in logs.exp().numpy()]


@pytest.mark.parametrize("too_sure", [0.4, 1.0, 3.0])
def test_it_finds_the_temperature_that_was_taken_away(too_sure: float) -> None:
    logs, outcomes = drawn(4000, 3, seed=0)
    scores = Scores.nothing()._replace(log_posterior=(logs * too_sure).log_softmax(dim=1))
    calibration = fit_calibration(scores, LABELS, [LABELS.labels[outcome] for outcome in outcomes], "accuracy")
    assert calibration.posterior == pytest.approx(too_sure, rel=0.08)
    assert calibration.mix is None and calibration.reader == 1.0
    applied = calibration.apply(scores, LABELS).log_posterior
    assert torch.allclose(applied.exp(), logs.exp(), atol=0.03)


def test_a_grid_has_a_temperature_too() -> None:
    logs, outcomes = drawn(3000, 5, seed=1)
    scores = Scores.nothing()._replace(log_posterior=(logs * 2).log_softmax(dim=1))
    truth = [float(outcome) for outcome in outcomes] + [9.0]  # off the grid: it teaches nothing
    scores = scores._replace(log_posterior=torch.cat([scores.log_posterior, scores.log_posterior[:1]]))
    assert fit_calibration(scores, GRID, truth, "mae").posterior == pytest.approx(2, rel=0.1)


def test_the_mixture_of_classes_is_the_product_of_what_both_know() -> None:
    """Two independent views of the outcome: the best mixture adds their logarithms as they are."""
    chance = np.random.default_rng(2)
    outcomes = chance.integers(0, 3, 6000)
    views = [torch.from_numpy(np.eye(3)[outcomes] * 1.2 + chance.normal(0, 1.0, (6000, 3))) * 1.2 for _ in range(2)]
    # Of a Gaussian view x = 1.2 · e_y + noise, log p(x | y) is 1.2 · x_y up to what y does not change.
    scores = Scores.nothing()._replace(log_posterior=views[0].log_softmax(dim=1), class_logits=views[1])
    calibration = fit_calibration(scores, LABELS, [LABELS.labels[outcome] for outcome in outcomes], "accuracy")
    assert calibration.mix == (pytest.approx(1.0, abs=0.08), pytest.approx(1.0, abs=0.08))
    mixed = calibration.apply(scores, LABELS).mixed_logits
    right = [(logits.argmax(dim=1).numpy() == outcomes).mean() for logits in (*views, mixed)]
    assert right[2] > max(right[:2]) + 0.03


def test_the_mixture_of_numbers_lies_between_both() -> None:
    truth = [0.0, 1.0, 2.0, 3.0, 4.0]
    logs = torch.full((5, 5), -torch.inf)
    logs[range(5), [1, 2, 3, 4, 4]] = 0.0  # the mean is one above, but at the last
    below = torch.tensor([0.0, 0.0, 1.0, 2.0, 4.0])  # the director is one below, but at both ends
    scores = Scores.nothing()._replace(log_posterior=logs.clamp_min(-1e4), value=below)
    calibration = fit_calibration(scores, GRID, truth, "mse")
    # Errors (1 − s) · (1, 1, 1, 1, 0) + s · (0, −1, −1, −1, 0): the square (1−s)² + 3(1−2s)² is least at s = 7/13.
    assert calibration.mix == (pytest.approx(6 / 13, abs=0.006), pytest.approx(7 / 13, abs=0.006))
    mixed = calibration.apply(scores, GRID).mixed_value
    assert mixed.tolist() == pytest.approx(
        (calibration.mix[0] * np.array([1, 2, 3, 4, 4]) + calibration.mix[1] * below.numpy()).tolist()
    )


def test_what_is_mixed_lies_in_the_space_when_it_is_applied_as_when_it_was_fitted() -> None:
    """A director that goes far beyond the grid is brought back before its share is taken."""
    logs = torch.full((2, 5), -1e4)
    logs[:, 1] = 0.0
    scores = Scores.nothing()._replace(log_posterior=logs, value=torch.tensor([100.0, -7.0]))
    # Posterior's means 1, 1; the director's values 4, 0 in the grid: halfway between them lies the truth.
    calibration = fit_calibration(scores, GRID, [2.5, 0.5], "mse")
    assert calibration.mix == (pytest.approx(0.5), pytest.approx(0.5))
    assert calibration.apply(scores, GRID).mixed_value.tolist() == pytest.approx([2.5, 0.5])


def test_nothing_is_done_where_nothing_was_fitted() -> None:
    logs, _ = drawn(5, 3, seed=3)
    scores = Scores.nothing()._replace(log_posterior=logs, class_logits=logs * 2)
    applied = Calibration().apply(scores, LABELS)
    assert torch.allclose(applied.log_posterior, logs) and torch.equal(applied.class_logits, logs * 2)
    assert applied.mixed_logits is None
    free = Scores.nothing()._replace(number=torch.tensor([1.0, 2.0]), value=torch.tensor([1.0, 2.0]))
    calibration = fit_calibration(free, FreeNumber(2, 0, False), [1.0, 2.0], "exact_match")
    assert (calibration.posterior, calibration.mix) == (1.0, None)
