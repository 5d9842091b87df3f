"""Prompts of unlike lengths laid side by side in lines, so that no column is read that holds padding.

A batch padded to its longest row is half padding on texts as they come (sentence pairs, tweets), and every layer
computes it. Here several rows share a line; a mask keeps them apart, each token keeps the position it has in its own
row, and what comes out is put back where the padded batch would have it. Every number is what it would be there.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from predgen.model.tree_mask import LayerWindows, blank_where_unseen

# Lines have at least so many columns (where the batch has them), or the longest row's, and less than twice as many.
# Attention is computed over whole lines, and longer ones would waste more on pairs of tokens from different rows.
LINE = 128
# The least share of a padded batch's columns that has to be spared: masks and moving cost something too.
WORTHWHILE = 0.15


class Lines(NamedTuple):
    """B prompts of P padded columns in K lines of L columns; the last R of each line are its rows' last tokens."""

    ids: Tensor  # (K, L) int64
    row: Tensor  # (K, L) int64; which prompt a column belongs to, -1 for none
    position: Tensor  # (K, L) int64; the token's place in its own prompt
    place: Tensor  # (B, P) int64; where each padded column went, counted over all lines; padding: anywhere
    ends: Tensor  # (B,) int64; where each prompt's last token went, counted over the last R columns of all lines
    last: int  # R

    def bias(
        self, dtype: torch.dtype, windows: LayerWindows | int | None, front: int = 0
    ) -> Tensor | dict[str, Tensor]:
        """(K, 1, L, front + L), or one a layer type: 0 where a token may look, the lowest number elsewhere.

        It may look at its own row's tokens up to itself, and at what stands in `front` of every row.
        """
        # Fillers look at one another: a query that sees nothing would be NaN.
        same = self.row[:, :, None] == self.row[:, None, :]
        distance = self.position[:, :, None] - self.position[:, None, :]
        allowed = torch.nn.functional.pad(same & (distance >= 0), (front, 0), value=True)
        before = self.position[:, :, None] + front - torch.arange(front, device=self.row.device)
        return blank_where_unseen(allowed, torch.cat([before, distance], dim=2), dtype, windows)

    def padded(self, packed: Tensor) -> Tensor:
        """(K, L, …) numbers of the lines' columns as (B, P, …) of the padded batch's; arbitrary in its padding."""
        found = packed.flatten(0, 1).index_select(0, self.place.flatten())
        return found.view(*self.place.shape, *found.shape[1:])

    def at_ends(self, packed: Tensor) -> Tensor:
        """(K, R, …) numbers of the lines' last columns as (B, …) of the prompts' last tokens."""
        return packed.flatten(0, 1).index_select(0, self.ends)


def lay_out(prompt_ids: Tensor, prompt_mask: Tensor) -> Lines | None:
    """Lays left-padded prompts into lines; None where that would spare too little.

    Args:
        prompt_ids: (B, P).
        prompt_mask: (B, P), 1 on real tokens; every row has one.
    """
    rows, columns = prompt_ids.shape
    lengths = prompt_mask.sum(dim=1).tolist()
    if sum(lengths) > (1 - WORTHWHILE) * rows * columns:
        return None
    lines = _shared_out(lengths, max(1, sum(lengths) // max(LINE, columns)))
    # Last tokens stand at the end of their line, side by side, so that their logits can be asked for as a block.
    last = max(map(len, lines))
    width = max(sum(lengths[row] - 1 for row in line) for line in lines) + last
    if len(lines) * width > (1 - WORTHWHILE) * rows * columns:
        return None
    row_of = torch.full((len(lines), width), -1)
    position = torch.zeros(len(lines), width, dtype=torch.long)
    place = torch.zeros(rows, columns, dtype=torch.long)
    ends = torch.zeros(rows, dtype=torch.long)
    for number, line in enumerate(lines):
        begin = 0
        for order, row in enumerate(line):
            body, end = lengths[row] - 1, width - last + order
            row_of[number, begin : begin + body] = row
            row_of[number, end] = row
            position[number, begin : begin + body] = torch.arange(body)
            position[number, end] = body
            first = number * width + begin
            place[row, columns - body - 1 : -1] = torch.arange(first, first + body)
            place[row, -1] = number * width + end
            ends[row] = number * last + order
            begin += body
    row_of, position, place, ends = (each.to(prompt_ids.device) for each in (row_of, position, place, ends))
    ids = prompt_ids.new_zeros(row_of.numel())
    ids[place[prompt_mask.bool()]] = prompt_ids[prompt_mask.bool()]
    return Lines(ids.view_as(row_of), row_of, position, place, ends, last)


def _shared_out(lengths: list[int], count: int) -> list[list[int]]:
    """Rows by line, the lines about equally long: the longest row first, each into the shortest line so far."""
    lines: list[list[int]] = [[] for _ in range(count)]
    filled = [0] * count
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        line = filled.index(min(filled))
        lines[line].append(row)
        filled[line] += lengths[row]
    return lines
