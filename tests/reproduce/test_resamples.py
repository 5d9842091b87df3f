from __future__ import annotations

import numpy as np
import pytest
import torch

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.metrics import regression_metrics
from predgen.model.outputs import Scores
from predgen.reproduce.resamples import draw, pack, resampled_metrics, unpack

PRINT = "0123456789abcdef" * 4


class Reader:
    """What `resampled_metrics` reads of a run."""

    reader_name = None

    def __init__(self, space: LabelSet | NumberGrid) -> None:
        self.space = space


def test_the_same_rows_are_drawn_for_everyone_who_scores_them() -> None:
    assert np.array_equal(draw(PRINT, 50, 20), draw(PRINT, 50, 20))
    assert not np.array_equal(draw(PRINT, 50, 20), draw("f" * 64, 50, 20))
    drawn = draw(PRINT, 50, 20)
    assert drawn.shape == (20, 50) and drawn.min() >= 0 and drawn.max() < 50


def test_numbers_agree_with_the_metrics_of_the_drawn_rows() -> None:
    grid, chance = NumberGrid(0, 3, 1), np.random.default_rng(0)
    posterior = torch.tensor(chance.normal(size=(9, len(grid)))).log_softmax(dim=1)
    scores = Scores.nothing()._replace(log_posterior=posterior, greedy=posterior.argmax(dim=1))
    truth = chance.uniform(0, 3, 9).round(1).tolist()
    found = resampled_metrics(Reader(grid), scores, truth, PRINT, count=5)  # type: ignore[arg-type]
    means = (posterior.exp().numpy() * np.array(grid.numbers)).sum(axis=1)
    for number, rows in enumerate(draw(PRINT, 9, 5)):
        wanted = regression_metrics(np.array(truth)[rows].tolist(), means[rows].tolist())
        for metric in ("mae", "mse", "pearson"):
            assert found["mean"][metric][number] == pytest.approx(wanted[metric])


def test_labels_are_counted_on_the_drawn_rows() -> None:
    scores = Scores.nothing()._replace(
        log_posterior=torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]).log(), greedy=torch.tensor([0, 1, 1])
    )
    found = resampled_metrics(Reader(LabelSet(("a", "b"))), scores, ["a", "b", "b"], PRINT, count=4)  # type: ignore[arg-type]
    right = np.array([1.0, 1.0, 0.0])
    assert found["mode"]["accuracy"].tolist() == right[draw(PRINT, 3, 4)].mean(axis=1).tolist()
    assert found["greedy"]["accuracy"].tolist() == [1.0] * 4


def test_packing_loses_a_thousandth_of_the_distance() -> None:
    values = 0.5 + np.random.default_rng(0).normal(scale=0.01, size=400)
    full = {"mean": {"mae": 0.5}}
    again = unpack(pack({"mean": {"mae": values}}, full), full)["mean"]["mae"]
    assert np.abs(again - values).max() < 1e-3 * np.abs(values - 0.5).max()
    assert np.isnan(unpack(pack({"mean": {"mae": values * np.nan}}, full), full)["mean"]["mae"]).all()
