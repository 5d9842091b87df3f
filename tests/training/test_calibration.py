from __future__ import annotations

import numpy as np
import torch

from predgen.answers.spaces import NumberGrid
from predgen.model.outputs import Scores
from predgen.training.calibration import judge

GRID = NumberGrid(0, 4, 0)


def judged(probabilities: np.ndarray, truth: list[float]) -> list[str]:
    said: list[str] = []
    scores = Scores.nothing()._replace(log_posterior=torch.from_numpy(np.log(probabilities)))
    judge(scores._replace(greedy=scores.log_posterior.argmax(dim=1)), GRID, None, truth, "mae", "auto", said.append)
    return said


def test_a_posterior_whose_mean_alone_is_right_is_said_to_lose_it_to_its_temperature() -> None:
    truth = np.tile([1.0, 2.0, 3.0], 40)
    probabilities = np.full((120, 5), 1e-7)  # all on both ends of the grid, so that its mean is each row's number
    probabilities[:, 4] = truth / 4
    probabilities[:, 0] = 1 - truth / 4
    (line,) = judged(probabilities, truth.tolist())
    assert line.startswith("Calibrated, dev mae goes from 0.0000 to") and "train.calibrate=off" in line


def test_nothing_is_said_of_one_that_a_temperature_suits() -> None:
    chance = np.random.default_rng(0)
    logs = chance.normal(0, 1.5, (400, 5))
    probabilities = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    truth = [float(chance.choice(5, p=row)) for row in probabilities]
    assert judged(probabilities, truth) == []
