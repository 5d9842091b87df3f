"""Gold answers of rows that have options of their own, as tensors that move with the model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class OptionTable(nn.Module):
    """What `AnswerTable` is for answers that all rows share: here only what is taught is known beforehand.

    A training rows, L tokens of their longest gold option.

    Args:
        gold: Of each training row its gold option's tokens; none where nothing is taught.
        terminator: The token that ends an answer.
        labels: How many labels stand for options.
    """

    targets: Tensor  # (A, L + 1) int64; tokens, then the terminator, then zeros
    target_mask: Tensor  # (A, L + 1) bool
    target_weights: Tensor  # (A, L + 1) float; all alike
    path_nodes: Tensor  # (A, L + 1) int64; zeros: there is no trie that all rows share

    exact = True  # every option is scored
    choices = 1

    def __init__(self, gold: Sequence[Sequence[int]], terminator: int, labels: int) -> None:
        super().__init__()
        self.terminator, self.answers = terminator, labels
        self.depth = max([1, *map(len, gold)])
        self.numerals: dict[int, int] = {}
        shape = (len(gold), self.depth + 1)
        targets, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
        for row, ids in enumerate(gold):
            targets[row, : len(ids) + 1] = torch.tensor([*ids, terminator])
            mask[row, : len(ids) + 1] = True
        for name, tensor in {
            "targets": targets,
            "target_mask": mask,
            "target_weights": mask.float(),
            "path_nodes": torch.zeros_like(targets),
        }.items():
            self.register_buffer(name, tensor, persistent=False)

    def reads(self, nodes: Tensor) -> Tensor:
        """Which tokens a director would read: all."""
        return torch.ones_like(nodes, dtype=torch.bool)
