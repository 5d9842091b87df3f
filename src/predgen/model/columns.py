"""Columns of padded rows: their positions, and the last of them by number."""

from __future__ import annotations

import torch
from torch import Tensor


def positions(mask: Tensor) -> Tensor:
    """Positions counted from each row's first real token; padding repeats a neighbour's, which nothing sees."""
    return (mask.cumsum(dim=1) - 1).clamp_min(0)


def last_columns(ids: Tensor, count: int = 1) -> Tensor:
    """The last columns of (B, S) by number, (count,).

    Asked for by number, their states are copied side by side, and one matrix product projects them to the vocabulary.
    Of a slice torch multiplies every row on its own, and in bfloat16 copies the projection's weight for each.
    """
    return torch.arange(ids.shape[1] - count, ids.shape[1], device=ids.device)
