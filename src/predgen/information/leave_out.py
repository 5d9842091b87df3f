"""One prompt, and the same without some of its tokens, read together.

The whole prompt is read once. Without a stretch of it, only what stands behind the stretch reads otherwise: such tails
are laid side by side in one row, each seeing the prompt up to its stretch and itself, so that no column is padding and
nothing in front is read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from predgen.data.batches import pad_prompts
from predgen.model.prefix import Prefix, as_prefix
from predgen.model.tree_mask import blank_where_unseen
from predgen.model.writer import Writer

# Columns of a pass. Its tails look past each other's columns in vain, so that more of them cost more than they save.
COLUMNS_AT_ONCE = 256

Stretch = tuple[int, int]  # the first token that is left out, and the one behind the last


class ReadPrompts(NamedTuple):
    """V prompts, read."""

    prefix: Prefix  # V rows, padded on the left; virtual tokens in front of each row's own, if there are any
    states: Tensor | None  # (V, C, d) last hidden states where they were asked for, virtual tokens left out
    mask: Tensor  # (V, C), 1 on tokens that have states


def read_whole(writer: Writer, ids: Sequence[int], device: torch.device, states: bool = False) -> ReadPrompts:
    """Reads one prompt of n tokens.

    Args:
        writer: The language model.
        ids: The prompt.
        device: Where it is read.
        states: Whether its last hidden states are kept, which a head reads.
    """
    prompt = torch.tensor(ids, device=device)[None]
    return _plain(writer, prompt, torch.ones_like(prompt), states)


def read_without(
    writer: Writer, whole: ReadPrompts, ids: Sequence[int], stretches: Sequence[Stretch]
) -> Iterator[ReadPrompts]:
    """Reads a prompt without each of some stretches, as if they had never been there.

    Args:
        writer: The language model.
        whole: The prompt, read, its states kept if those of the others are to be.
        ids: The prompt, n tokens.
        stretches: None with the prompt's last token.

    Yields:
        Some of the variants after the others, in order.
    """
    keeps = bool(whole.prefix.keys)
    for part in _passes(stretches, len(ids), keeps):
        if keeps:
            yield _behind(writer, whole, part)
        else:  # a model without a cache reads each prompt anew
            batch = pad_prompts([[*ids[:start], *ids[stop:]] for start, stop in part])
            device = whole.mask.device
            yield _plain(writer, batch.prompt_ids.to(device), batch.prompt_mask.to(device), whole.states is not None)


def _plain(writer: Writer, ids: Tensor, mask: Tensor, states: bool) -> ReadPrompts:
    if not states:
        return ReadPrompts(writer.prefill(ids, mask), None, mask)
    prefix, layers = writer.prefill_layers(ids, mask)
    return ReadPrompts(prefix, layers[-1], mask)


def _passes(stretches: Sequence[Stretch], length: int, keeps: bool) -> Iterator[list[Stretch]]:
    part, columns = list[Stretch](), 0
    for stretch in stretches:
        own = length - stretch[1] if keeps else length
        if part and columns + own > COLUMNS_AT_ONCE:
            yield part
            part, columns = [], 0
        part.append(stretch)
        columns += own
    if part:
        yield part


def _behind(writer: Writer, whole: ReadPrompts, stretches: Sequence[Stretch]) -> ReadPrompts:
    prefix, device = whole.prefix, whole.mask.device
    length = prefix.ids.shape[1]
    virtual = length - whole.mask.shape[1]
    start, stop = (torch.tensor(stretches, device=device) + virtual).unbind(dim=1)
    tails = length - stop
    first = tails.cumsum(dim=0) - tails  # where each tail begins in the row
    owner = torch.arange(len(stretches), device=device).repeat_interleave(tails)
    place = torch.arange(len(owner), device=device) - first[owner]  # of a column in its tail
    where = start[owner] + place  # of a column in its prompt
    prompt = torch.arange(length, device=device)
    sees_prompt = prompt[None] < start[owner][:, None]
    sees_tails = (owner[:, None] == owner[None]) & (place[:, None] >= place[None])
    sees = torch.cat([sees_prompt, sees_tails], dim=1)
    distance = where[:, None] - torch.cat([prompt, where])[None]
    bias = blank_where_unseen(sees[None], distance[None], writer.dtype, writer.windows)
    shown = prefix.ids[:, stop[owner] + place]
    output = writer(
        input_ids=shown,
        attention_mask=bias,
        position_ids=where[None],
        past_key_values=prefix.cache(),
        use_cache=True,
        output_hidden_states=whole.states is not None,
        logits_to_keep=first + tails - 1,
    )
    row = torch.cat([prefix.ids, shown], dim=1)
    grown = as_prefix(output.past_key_values, row, torch.ones_like(row), output.logits[0])
    # Each prompt's own columns of that row, padding in front of them.
    own = start + tails
    column = torch.arange(int(own.max()), device=device)[None] - (own.max() - own)[:, None]
    real = column >= 0
    behind = length + first[:, None] + column - start[:, None]
    picked = torch.where(column < start[:, None], column, behind).clamp_min(0)
    mask = real.to(prefix.mask.dtype)
    each = Prefix(
        tuple(key[0][:, picked].transpose(0, 1) for key in grown.keys),
        tuple(value[0][:, picked].transpose(0, 1) for value in grown.values),
        row[0, picked] * mask,
        mask,
        grown.logits,
    )
    if whole.states is None:
        return ReadPrompts(each, None, mask)
    states = torch.cat([whole.states, output.hidden_states[-1]], dim=1)[0, (picked - virtual).clamp_min(0)]
    return ReadPrompts(each, states, mask * (column >= virtual))
