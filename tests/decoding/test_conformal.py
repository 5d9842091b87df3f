from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.decoding.conformal import Conformal, conformal_from_json, held_out_errors
from predgen.model.outputs import Scores


def test_the_half_width_is_the_conformal_rank() -> None:
    """Of errors 1 … 20 the ⌈21 · 0.9⌉ = 19th smallest (Lei et al. 2018)."""
    low, high = Conformal(tuple(range(1, 21))).intervals(np.array([50.0, 5.0]), None, 0.9, 0.0, 60.0)
    assert low.tolist() == [31.0, 0.0] and high.tolist() == [60.0, 24.0]


@pytest.mark.parametrize(("rows", "level"), [(9, 0.9), (19, 0.9), (19, 0.95), (99, 0.8), (999, 0.7)])
def test_a_level_that_falls_on_an_error_needs_no_further_one(rows: int, level: float) -> None:
    errors = np.arange(1, rows + 1) / (rows + 1)
    rank = round(level * (rows + 1))
    _, high = Conformal(tuple(errors)).intervals(np.zeros(1), None, level, -9.0, 9.0)
    assert high[0] == pytest.approx(errors[rank - 1])
    just, over = 1 - errors[rank - 1] + 1e-6, 1 - errors[rank - 1] - 1e-6
    assert Conformal(tuple(errors)).sets(np.array([[just, over]]), level).tolist() == [[True, False]]


def test_too_few_rows_give_the_whole_range() -> None:
    low, high = Conformal((1.0, 2.0)).intervals(np.array([5.0]), None, 0.9, 0.0, 10.0)
    assert (low[0], high[0]) == (0.0, 10.0)


def test_intervals_widen_with_the_difficulty() -> None:
    conformal = Conformal(tuple(float(number) for number in range(1, 21)), (2.0,) * 20)
    low, high = conformal.intervals(np.array([50.0, 50.0]), np.array([2.0, 1.0]), 0.9, 0.0, 100.0)
    assert (high - low).tolist() == [38.0, 19.0]


def test_they_hold_what_they_say_on_new_rows() -> None:
    chance = np.random.default_rng(0)
    difficulty = chance.uniform(0.5, 2.0, 6000)
    errors = np.abs(chance.normal(0, difficulty))
    conformal = Conformal(tuple(errors[:1000]), tuple(difficulty[:1000]))
    for level in (0.5, 0.9):
        _, high = conformal.intervals(np.zeros(5000), difficulty[1000:], level, -99, 99)
        assert (errors[1000:] <= high).mean() == pytest.approx(level, abs=0.03)


def test_sets_hold_what_they_say_and_shrink_with_confidence() -> None:
    chance = np.random.default_rng(1)
    probabilities = chance.dirichlet([0.4, 0.4, 0.4], 4000)
    gold = np.array([chance.choice(3, p=row) for row in probabilities])
    errors = 1 - probabilities[np.arange(4000), gold]
    held = Conformal(tuple(errors[:1000])).sets(probabilities[1000:], 0.9)
    assert held[np.arange(3000), gold[1000:]].mean() == pytest.approx(0.9, abs=0.025)
    assert held.sum(axis=1).mean() < 2.2


def test_held_out_errors_by_hand() -> None:
    labels = Scores.nothing()._replace(
        log_posterior=torch.tensor([[0.7, 0.3], [0.4, 0.6]]).log(), greedy=torch.tensor([0, 1])
    )
    found = held_out_errors(labels, LabelSet(("a", "b")), "mode", None, ["b", "b"])
    assert found.errors == pytest.approx((0.7, 0.4)) and found.difficulties is None
    numbers = Scores.nothing()._replace(log_posterior=torch.tensor([[0.5, 0.0, 0.5]]).log(), greedy=torch.tensor([0]))
    found = held_out_errors(numbers, NumberGrid(0, 2, 0), "mean", None, [1.5])
    assert found.errors == pytest.approx((0.5,)) and found.difficulties == pytest.approx((1.0,))


def test_json_gives_it_again() -> None:
    for conformal in (Conformal((0.1, 0.2)), Conformal((0.1,), (2.0,))):
        assert conformal_from_json(json.loads(json.dumps(conformal.to_json()))) == conformal
    with pytest.raises(ValueError, match="damaged"):
        conformal_from_json({"errors": [1.0]})
