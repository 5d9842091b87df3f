from __future__ import annotations

import numpy as np
import pytest
import torch

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.decoding.decide import (
    by_costs,
    by_thresholds,
    class_decisions,
    grid_quantile,
    highest_density,
    number_decisions,
    number_distribution,
    probability_above,
)
from predgen.model.outputs import Scores

GRID = NumberGrid(0, 4, 0)


def number_scores(probabilities: list[float], value: float | None = None) -> Scores:
    posterior = torch.tensor([probabilities], dtype=torch.float64).log()
    read = None if value is None else torch.tensor([value])
    return Scores(posterior, torch.zeros(1), torch.tensor([1]), None, read, None, None, None, None)


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
    decided = class_decisions(scores, LabelSet(("a", "b")), "director")
    assert {name: int(decision.chosen[0]) for name, decision in decided.items()} == {
        "mode": 0,
        "greedy": 1,
        "director": 1,
    }
    assert decided["mode"].probabilities[0] == pytest.approx([0.6, 0.4])
    assert decided["director"].probabilities[0, 1] == pytest.approx(1 / (1 + np.exp(-1)))


def test_ordered_labels_by_hand() -> None:
    """Of 0.4, 0.1, 0.1, 0.4 the mode is an end, half is reached with the second, and the mean rank is 1.5 → 2."""
    scores = Scores.nothing()._replace(
        log_posterior=torch.tensor([[0.4, 0.1, 0.1, 0.4], [0.1, 0.2, 0.3, 0.4]]).log(), greedy=torch.tensor([0, 3])
    )
    space = LabelSet(("poor", "fair", "good", "great"), ordered=True)
    decided = {name: decision.chosen.tolist() for name, decision in class_decisions(scores, space, None).items()}
    assert decided == {"mode": [0, 3], "greedy": [0, 3], "median": [1, 2], "rank": [2, 2]}
    assert "median" not in class_decisions(scores, LabelSet(space.labels), None)


def test_the_deviation_is_never_nothing() -> None:
    certain = torch.full((1, 3), -torch.inf)
    certain[0, 1] = 0.0
    scores = Scores.nothing()._replace(log_posterior=torch.cat([certain, torch.tensor([[0.5, 0.0, 0.5]]).log()]))
    distribution = number_distribution(scores, NumberGrid(0, 2, 0))
    assert distribution is not None
    assert distribution.deviation.tolist() == pytest.approx([0.5, 1.0])  # half a step; √E(x − 1)²


def test_a_threshold_on_one_of_two_labels_is_the_familiar_rule() -> None:
    probabilities = np.array([[0.15, 0.85], [0.05, 0.95], [0.1, 0.9]])
    assert by_thresholds(probabilities, ("ham", "spam"), {"spam": 0.9}).tolist() == [0, 1, 1]
    assert by_thresholds(probabilities, ("ham", "spam"), {"ham": 0.1}).tolist() == [0, 1, 0]


def test_of_several_thresholds_the_furthest_passed_wins() -> None:
    probabilities = np.array([[0.3, 0.3, 0.4], [0.1, 0.4, 0.5], [0.1, 0.1, 0.8]])
    found = by_thresholds(probabilities, ("a", "b", "c"), {"a": 0.1, "b": 0.2})
    assert found.tolist() == [0, 1, 0]  # 3 against 1.5; 1 against 2; 1 against 0.5
    assert by_thresholds(probabilities, ("a", "b", "c"), {"a": 0.0}).tolist() == [0, 0, 0]


def test_costs_by_hand() -> None:
    """Missing an a costs 4: at 0.3 of probability b is expected to cost 1.2 and a only 0.7."""
    probabilities = np.array([[0.3, 0.7], [0.15, 0.85]])
    assert by_costs(probabilities, ("a", "b"), {"a": {"b": 4.0}}).tolist() == [0, 1]
    assert by_costs(probabilities, ("a", "b"), {}).tolist() == [1, 1]


def test_highest_density_against_every_interval_there_is() -> None:
    chance = np.random.default_rng(0)
    values = np.arange(12) * 0.5
    probabilities = chance.dirichlet(np.full(12, 0.5), 40)
    for level in (0.05, 0.5, 0.9, 0.999999):
        low, high = highest_density(probabilities, values, level)
        for row, mass in enumerate(probabilities):
            every = [
                (values[stop] - values[start], -mass[start : stop + 1].sum(), start, stop)
                for start in range(12)
                for stop in range(start, 12)
                if mass[start : stop + 1].sum() >= level - 1e-9
            ]
            _, _, start, stop = min(every)
            assert (low[row], high[row]) == (values[start], values[stop])


def test_highest_density_of_two_peaks_takes_the_higher() -> None:
    low, high = highest_density(np.array([[0.3, 0.0, 0.0, 0.1, 0.6]]), np.arange(5.0), 0.6)
    assert (low[0], high[0]) == (4.0, 4.0)


def test_probability_above_leaves_the_number_itself_out() -> None:
    assert probability_above(np.array([[0.2, 0.3, 0.5]]), np.array([1.0, 2.0, 3.0]), 2.0).tolist() == [0.5]
