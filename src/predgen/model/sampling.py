"""The chance in scheduled sampling: which tokens are the model's own, keyed so that it repeats (sections 4 and 6)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from predgen.config import SamplingMode

_COINS, _NOISE = 0, 1  # streams of one row's generator


def draw_coins(mode: SamplingMode, probability: float, seed: int, step: int, row_ids: Tensor, width: int) -> Tensor:
    """Which positions of which rows take the model's own token.

    Each row's coins come from a generator keyed by (seed, step, row), so that accumulation, several processes and a
    resumed run draw the same ones, whatever else the batch holds. Only "batch" depends on the batch: its one coin is
    the first row's.

    Args:
        mode: "token" and "parallel": one coin a position; "sequence": one a row; "batch": one for all rows.
        probability: p, in [0, 1]; 0 is gold throughout, 1 the model's own throughout.
        seed: The run's seed.
        step: The optimizer step.
        row_ids: (B,) positions in the training set.
        width: Positions a row, terminator included.

    Returns:
        (B, width) bool, on the rows' device.
    """
    keys = row_ids[:1] if mode == "batch" else row_ids
    columns = width if mode in ("token", "parallel") else 1
    uniform = np.stack([_generator(seed, step, row, _COINS).random(columns) for row in keys.tolist()])
    return torch.from_numpy(uniform < probability).to(row_ids.device).expand(row_ids.shape[0], width)


class GumbelNoise:
    """Standard Gumbel noise: the largest of logits + noise is a draw from their softmax (Maddison et al. 2014).

    Drawn position after position, since over a whole vocabulary that of a long answer would not fit; keyed as
    `draw_coins`, and independent of it.

    Args:
        seed: The run's seed.
        step: The optimizer step.
        row_ids: (B,) positions in the training set.
        choices: Most ways from one position.
    """

    def __init__(self, seed: int, step: int, row_ids: Tensor, choices: int) -> None:
        self._generators = [_generator(seed, step, row, _NOISE) for row in row_ids.tolist()]
        self._choices, self._device = choices, row_ids.device

    def take(self, positions: int) -> Tensor:
        """(B, positions, choices) float64, of the next positions, on the rows' device."""
        noise = np.stack([generator.gumbel(size=(positions, self._choices)) for generator in self._generators])
        return torch.from_numpy(noise).to(self._device)


def _generator(seed: int, step: int, row: int, stream: int) -> np.random.Generator:
    # Philox counts its lowest word up as it draws: the row stands above it, or each would go on into the next one's.
    return np.random.Generator(np.random.Philox(key=[seed, step], counter=[0, row, stream, 0]))
