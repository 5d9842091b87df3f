"""Token lists → padded tensors.

Prompts are padded on the left, so that the last column is the last prompt token of every row and answers continue from
it. Padding is known by the mask alone, never by the pad token's id, which equals the end token in many tokenizers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class PromptBatch(NamedTuple):
    """Prompts of B rows, padded on the left to P tokens."""

    prompt_ids: Tensor  # (B, P) int64
    prompt_mask: Tensor  # (B, P) int64; 1 on real tokens, 0 on padding


class TrainingBatch(NamedTuple):
    """Prompts with what should be answered."""

    prompt_ids: Tensor  # (B, P) int64
    prompt_mask: Tensor  # (B, P) int64
    answer_index: Tensor  # (B,) int64; the gold answer's position in the space; of records (B, K), one a field
    target: Tensor  # (B,) float; the gold number, or the class index, exactly as the rows have it; of records (B, K)
    row_ids: Tensor  # (B,) int64; the row's position in the training set, which keys its sampling coins
    weight: Tensor  # (B,) float; what the row's loss counts, 1 on average over the training rows
    head_ids: Tensor  # (B, H) int64; the tokens in front of every prompt, alike in all rows of the run; often none


class TrainingRow(NamedTuple):
    """One row, ready to be batched."""

    ids: list[int]
    answer_index: int | tuple[int, ...]  # of records one a field
    target: float | tuple[float, ...]
    row_id: int
    weight: float = 1.0
    head: int = 0  # of the ids, how many in front are those of every other row of the run, and can be read once


def pad_prompts(prompts: Sequence[Sequence[int]], pad_id: int = 0) -> PromptBatch:
    """Pads prompts on the left to the longest.

    Args:
        prompts: At least one prompt of at least one token.
        pad_id: Fills the padding; any id of the vocabulary will do, since the mask hides it.
    """
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad_id, dtype=torch.long)
    mask = torch.zeros((len(prompts), width), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt, dtype=torch.long)
        mask[row, width - len(prompt) :] = 1
    return PromptBatch(ids, mask)


def behind_a_head(rows: Sequence[TrainingRow], length: int) -> list[TrainingRow]:
    """The rows of a run, whose first tokens are the same in all of them.

    Args:
        rows: All training rows: a head of one batch's rows would have other batches make other passes.
        length: How many tokens that is.
    """
    return [row._replace(head=length) for row in rows]


def collate(rows: Sequence[TrainingRow]) -> dict[str, Tensor]:
    """Batches training rows; the keys are `TrainingBatch`'s fields, which are the arguments of a method's forward."""
    head = rows[0].head
    prompts = pad_prompts([row.ids[head:] for row in rows])
    return TrainingBatch(
        prompt_ids=prompts.prompt_ids,
        prompt_mask=prompts.prompt_mask,
        answer_index=torch.tensor([row.answer_index for row in rows]),
        target=torch.tensor([row.target for row in rows], dtype=torch.get_default_dtype()),
        row_ids=torch.tensor([row.row_id for row in rows]),
        weight=torch.tensor([row.weight for row in rows], dtype=torch.get_default_dtype()),
        head_ids=torch.tensor([row.ids[:head] for row in rows], dtype=torch.long),
    )._asdict()
