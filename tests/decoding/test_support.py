from __future__ import annotations

import numpy as np
import pytest
import torch

from predgen.answers.spaces import FreeNumber, NumberGrid
from predgen.decoding.calibrate import Calibration, fit_calibration
from predgen.decoding.decide import (
    grid_quantile,
    highest_density,
    number_decisions,
    number_distribution,
    probability_above,
    weighted_numbers,
)
from predgen.decoding.support import Support
from predgen.metrics import crps
from predgen.model.outputs import Scores

GRID = NumberGrid(0, 9, 0)


def dense(chance: np.random.Generator, rows: int = 6) -> np.ndarray:
    return chance.dirichlet(np.full(10, 0.6), rows)


def sparse(probabilities: np.ndarray, chance: np.random.Generator) -> Support:
    """The same distributions, their numbers in any order, those without probability left out."""
    rows = []
    for row in probabilities:
        kept = chance.permutation(np.flatnonzero(row))
        rows.append((kept.astype(float), np.log(row[kept]), np.zeros(len(kept))))
    return Support.of_rows(rows)


def test_a_support_of_all_numbers_decides_as_the_posterior_does() -> None:
    chance = np.random.default_rng(0)
    probabilities = dense(chance)
    probabilities[2, 3:8] = 0
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    greedy = torch.arange(6)
    listed = Scores.nothing()._replace(log_posterior=torch.from_numpy(probabilities).log(), greedy=greedy)
    held = Scores.nothing()._replace(support=sparse(probabilities, chance), greedy=greedy)
    one, other = (number_decisions(scores, GRID, None) for scores in (listed, held))
    assert list(one) == list(other)
    for name in one:
        assert np.allclose(one[name].values, other[name].values), name
    for mine, theirs in zip(number_distribution(listed, GRID), number_distribution(held, GRID), strict=True):
        assert np.allclose(mine, theirs)
    weighted = weighted_numbers(held, GRID)
    values, shares, _ = weighted
    for level in (0.1, 0.5, 0.93):
        assert np.allclose(grid_quantile(shares, values, level), grid_quantile(probabilities, GRID.numbers, level))
        pairs = zip(
            highest_density(shares, values, level), highest_density(probabilities, GRID.numbers, level), strict=True
        )
        assert all(np.allclose(mine, theirs) for mine, theirs in pairs)
    assert np.allclose(probability_above(shares, values, 4.0), probability_above(probabilities, GRID.numbers, 4.0))
    truth = [0.0, 3.0, 9.0, 2.5, 7.0, 1.0]
    assert crps(truth, shares, values) == pytest.approx(crps(truth, probabilities, GRID.numbers))


def test_a_temperature_moves_a_prefix_as_it_moves_its_answers() -> None:
    """Three answers, two of them behind one prefix that holds 0.5 in all: tempered one by one, and together."""
    support = Support.of_rows([(np.array([1.0, 4.0]), np.log([0.5, 0.5]), np.log([1.0, 2.0]))])
    each = np.array([0.5, 0.25, 0.25]) ** (1 / 3)
    each /= each.sum()
    assert support.tempered(3.0).log_probs[0].exp().tolist() == pytest.approx([each[0], each[1] + each[2]])


def test_the_mode_is_no_prefix() -> None:
    support = Support.of_rows([(np.array([1.0, 4.0, 8.0]), np.log([0.2, 0.7, 0.1]), np.log([1.0, 9.0, 1.0]))])
    assert support.modes.tolist() == [1.0]


def test_rows_of_different_widths_stand_together() -> None:
    narrow = Support.of_rows([(np.array([5.0]), np.zeros(1), np.zeros(1))])
    wide = Support.of_rows(
        [(np.array([2.0, 1.0]), np.log([0.3, 0.7]), np.zeros(2)), (np.array([3.0]), *[np.zeros(1)] * 2)]
    )
    both = Support.joined([narrow, wide]).chosen(torch.tensor([1, 0, 2]))
    assert both.values.tolist() == [[1.0, 2.0], [5.0, 5.0], [3.0, 3.0]]
    assert np.allclose(both.log_probs.exp(), [[0.7, 0.3], [1.0, 0.0], [1.0, 0.0]])


def test_calibration_widens_what_was_too_sure() -> None:
    """Ten numbers with probabilities far too sharp for targets that are spread evenly over them."""
    chance = np.random.default_rng(0)
    logits = chance.normal(size=(80, 10)) * 6
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = Scores.nothing()._replace(support=sparse(probabilities, chance), greedy=torch.zeros(80, dtype=torch.long))
    truth = chance.integers(0, 10, 80).astype(float).tolist()
    fitted = fit_calibration(scores, GRID, truth, "mae")
    assert fitted.posterior > 3
    before, after = (weighted_numbers(each, GRID) for each in (scores, fitted.apply(scores, GRID)))
    assert crps(truth, after.probabilities, after.values) < crps(truth, before.probabilities, before.values)


def test_writer_and_director_are_mixed_over_a_support() -> None:
    support = Support.of_rows([(np.array([2.0, 6.0]), np.log([0.5, 0.5]), np.zeros(2))])
    scores = Scores.nothing()._replace(support=support, greedy=torch.tensor([2]), value=torch.tensor([8.0]))
    mixed = Calibration(rows=60, mix=(0.25, 0.75)).apply(scores, GRID).mixed_value
    assert mixed.tolist() == [0.25 * 4 + 0.75 * 8]


def test_votes_are_a_distribution_of_free_numbers() -> None:
    votes = Support.of_rows([(np.array([7.0, 3.0]), np.log([0.75, 0.25]), np.zeros(2))])
    scores, space = Scores.nothing()._replace(support=votes), FreeNumber(2, 1, False)
    decided = {name: decision.values[0] for name, decision in number_decisions(scores, space, None).items()}
    assert decided == pytest.approx({"mean": 6.0, "median": 7.0, "mode": 7.0})
    assert number_distribution(scores, space).deviation[0] == pytest.approx(np.sqrt(3))
