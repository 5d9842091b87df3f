from __future__ import annotations

import numpy as np
import pytest
import torch

from predgen.answers.spaces import NumberGrid
from predgen.decoding.decide import (
    class_decisions,
    grid_quantile,
    number_decisions,
    number_distribution,
    residual_radius,
)
from predgen.model.outputs import Scores

GRID = NumberGrid(0, 4, 0)


def number_scores(probabilities: list[float], value: float | None = None) -> Scores:
    posterior = torch.tensor([probabilities], dtype=torch.float64).log()
    read = None if value is None else torch.tensor([value])
    return Scores(posterior, torch.zeros(1), torch.tensor([1]), None, read, None, None)


def test_decisions_over_numbers_by_hand() -> None:
    #                                        0    1    2    3    4
    decided = number_decisions(number_scores([0.1, 0.3, 0.2, 0.0, 0.4], value=9.0), GRID, "director")
    assert {name: decision.values[0] for name, decision in decided.items()} == pytest.approx(
        {"mean": 2.3, "median": 2.0, "mode": 4.0, "greedy": 1.0, "director": 4.0}  # the director's 9 is clipped
    )


def test_the_interval_holds_at_least_its_level() -> None:
    posterior = number_distribution(number_scores([0.04, 0.02, 0.5, 0.4, 0.04]), GRID)
    assert posterior is not None
    assert (posterior.low[0], posterior.high[0]) == (1.0, 3.0)  # cdf: .04 .06 .56 .96 1


def test_a_head_alone_decides_alone() -> None:
    scores = Scores.nothing()._replace(value=torch.tensor([2.5]))
    assert list(number_decisions(scores, GRID, "head")) == ["head"]
    assert number_distribution(scores, GRID) is None


def test_a_quantile_at_an_exact_step_takes_the_lower_value() -> None:
    probabilities = np.array([[0.5, 0.5], [0.1, 0.9]])
    assert grid_quantile(probabilities, np.array([1.0, 2.0]), 0.5).tolist() == [1.0, 2.0]


def test_classes_by_hand() -> None:
    scores = Scores.nothing()._replace(
        log_posterior=torch.tensor([[0.6, 0.4]]).log(),
        greedy=torch.tensor([1]),
        class_logits=torch.tensor([[0.0, 1.0]]),
    )
    decided = class_decisions(scores, "director")
    assert {name: int(decision.chosen[0]) for name, decision in decided.items()} == {
        "mode": 0,
        "greedy": 1,
        "director": 1,
    }
    assert decided["mode"].probabilities[0] == pytest.approx([0.6, 0.4])
    assert decided["director"].probabilities[0, 1] == pytest.approx(1 / (1 + np.exp(-1)))


def test_the_radius_is_the_conformal_rank() -> None:
    truth, predicted = np.zeros(19), np.arange(1.0, 20.0)
    assert residual_radius(truth, predicted, 0.9) == 18.0  # ⌈20 · 0.9⌉ = 18th smallest
    assert residual_radius(truth[:3], predicted[:3], 0.9) == 3.0  # too few rows: the largest
