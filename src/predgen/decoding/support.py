"""Distributions over numbers that are held by some of their numbers alone, each row by its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Floats = NDArray[np.float64]


class Support(NamedTuple):
    """Where the probability of B rows lies: on K numbers a row, ascending; the last is repeated to fill up.

    A search leaves prefixes unopened. Each stands here with all its probability on one number, that in the middle of
    the answers that begin with it; how many they are is kept, since a temperature moves many small shares otherwise
    than one large one.
    """

    values: Tensor  # (B, K) float64
    log_probs: Tensor  # (B, K) float64; normalised; minus infinity where a row is filled up
    log_counts: Tensor  # (B, K) float64; logarithm of the answers that a number stands for, 0 where it is one itself

    @staticmethod
    def of_rows(rows: Sequence[tuple[Floats, Floats, Floats]]) -> Support:
        """Values, log-probabilities (normalised here) and log-counts of each row, in any order."""
        width = max(len(values) for values, _, _ in rows)
        columns: list[list[Tensor]] = [[], [], []]
        for row in rows:
            order = np.argsort(row[0], kind="stable")
            fill = (float(row[0][order[-1]]), -np.inf, 0.0)
            for column, part, value in zip(columns, row, fill, strict=True):
                column.append(functional.pad(torch.from_numpy(part[order]), (0, width - len(order)), value=value))
        values, logs, counts = (torch.stack(column) for column in columns)
        return Support(values, logs.log_softmax(dim=1), counts)

    @staticmethod
    def joined(parts: Sequence[Support]) -> Support:
        """The rows of several, one behind the other."""
        width = max(part.values.shape[1] for part in parts)

        def wider(column: Tensor, fill: Tensor) -> Tensor:
            return torch.cat([column, fill.expand(len(column), width - column.shape[1])], dim=1)

        nothing = parts[0].values.new_zeros(1, 1)
        return Support(
            torch.cat([wider(part.values, part.values[:, -1:]) for part in parts]),
            torch.cat([wider(part.log_probs, nothing - torch.inf) for part in parts]),
            torch.cat([wider(part.log_counts, nothing) for part in parts]),
        )

    def chosen(self, rows: Tensor) -> Support:
        """Some of the rows, in the order asked for."""
        return Support(*(column[rows] for column in self))

    def cpu(self) -> Support:
        """The same on the processor."""
        return Support(*(column.cpu() for column in self))

    def tempered(self, temperature: float) -> Support:
        """Every answer's log-probability divided by a temperature, and normalised again."""
        each = (self.log_probs - self.log_counts) / temperature
        return self._replace(log_probs=(each + self.log_counts).log_softmax(dim=1))

    @property
    def modes(self) -> Floats:
        """(B,) the likeliest number of each row, prefixes apart."""
        each = self.log_probs.masked_fill(self.log_counts > 0, -torch.inf)
        return np.asarray(self.values.gather(1, each.argmax(dim=1, keepdim=True))[:, 0].numpy())


class Weighted(NamedTuple):
    """N rows' distributions over numbers, as the decisions read them."""

    values: Floats  # (A,) the same for all rows, or (N, K); ascending
    probabilities: Floats  # (N, A) or (N, K), rows sum to 1
    modes: Floats  # (N,)
