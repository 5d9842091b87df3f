"""What all prompts begin with, read once: a template's constant words, a chat template's opening, the start token.

Behind a shared head only the rest of each prompt is read. Its padding then stands between head and rest; the mask hides
it and positions are counted without it, so that every number is what it would be had each prompt been read whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from predgen.answers.tables import AnswerTable
from predgen.model.columns import last_columns, positions
from predgen.model.packing import lay_out
from predgen.model.prefix import Prefix, as_prefix, empty_cache
from predgen.model.tree_mask import tree_bias
from predgen.model.writer import Writer

FEWEST_TOKENS = 8  # of a head that is worth a pass of its own
FEWEST_PROMPTS = 16  # that must share it


class SharedHead(NamedTuple):
    """The first H tokens of every prompt, read."""

    prefix: Prefix  # of one row
    states: Tensor  # (1, H, d); the last hidden states

    def over(self, rows: int) -> Prefix:
        """The head in front of so many rows, its tensors expanded and not copied."""
        one = self.prefix
        return Prefix(
            tuple(key.expand(rows, -1, -1, -1) for key in one.keys),
            tuple(value.expand(rows, -1, -1, -1) for value in one.values),
            one.ids.expand(rows, -1),
            one.mask.expand(rows, -1),
            one.logits.expand(rows, -1),
            states=self.states.expand(rows, -1, -1),
        )


class PromptAndTree(NamedTuple):
    """Prompts of B rows and the M nodes of a tree behind each, read in one pass."""

    prefix: Prefix  # the prompts; without keys and values where they were not asked for
    logits: Tensor  # (B, 1 + M, V); next-token logits behind the prompt and at each node


def head_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, at least one left over of each; 0 where sharing them would not pay."""
    if len(prompts) < FEWEST_PROMPTS:
        return 0
    known = [tuple(prompt) for prompt in prompts]
    first, last = min(known), max(known)  # what the outermost in order have in common, all have
    most = min(map(len, known)) - 1
    length = next((place for place in range(most) if first[place] != last[place]), most)
    return length if length >= FEWEST_TOKENS else 0


def read_head(writer: Writer, ids: Tensor) -> SharedHead:
    """Reads a head, with its gradient where one is asked for.

    Args:
        writer: One that keeps prompts.
        ids: (H,).
    """
    mask = torch.ones_like(ids)[None]
    cache = empty_cache()
    output = writer.lm.get_decoder()(
        input_ids=ids[None], attention_mask=mask, past_key_values=cache, use_cache=writer.use_cache
    )
    states: Tensor = output.last_hidden_state
    return SharedHead(as_prefix(cache, ids[None], mask, states.new_zeros(1, 0)), states)


def prefill_behind(writer: Writer, head: SharedHead | None, prompt_ids: Tensor, prompt_mask: Tensor) -> Prefix:
    """`Writer.prefill` of prompts whose head has been read.

    Args:
        writer: The language model.
        head: Of all prompts; None: nothing has been read yet.
        prompt_ids: (B, P) what follows the head, padded on the left.
        prompt_mask: (B, P).
    """
    if head is None:
        return writer.prefill(prompt_ids, prompt_mask)
    before, ids, mask = _with_head(head, prompt_ids, prompt_mask)
    lines = lay_out(prompt_ids, prompt_mask)
    if lines is not None:
        rest = writer.fill_lines(lines, prompt_ids, prompt_mask, head.over(lines.ids.shape[0]))
        keys = tuple(torch.cat(both, dim=2) for both in zip(before.keys, rest.keys, strict=True))
        values = tuple(torch.cat(both, dim=2) for both in zip(before.values, rest.values, strict=True))
        whole = Prefix(keys, values, ids, mask, rest.logits, states=rest.states)
        return _closed_up(writer, whole.with_states_before(before.states))
    cache = before.cache()
    output, states = writer.with_states(
        input_ids=prompt_ids,
        attention_mask=_bias_behind(writer, mask, before.mask.shape[1]),
        position_ids=positions(mask)[:, -prompt_ids.shape[1] :],
        past_key_values=cache,
        use_cache=writer.use_cache,
        logits_to_keep=last_columns(prompt_ids),
    )
    whole = as_prefix(cache, ids, mask, output.logits[:, -1], states)
    return _closed_up(writer, whole.with_states_before(before.states))


def read_behind(
    writer: Writer, head: SharedHead | None, prompt_ids: Tensor, prompt_mask: Tensor
) -> tuple[Tensor, Tensor]:
    """`Writer.read` of prompts whose head has been read.

    Args:
        writer: The language model.
        head: Of all prompts; None: nothing has been read yet.
        prompt_ids: (B, P) what follows the head, padded on the left.
        prompt_mask: (B, P).

    Returns:
        States (B, H + P, d) and their mask (B, H + P), the head's included.
    """
    if head is None:
        return writer.read(prompt_ids, prompt_mask), prompt_mask
    before, _, mask = _with_head(head, prompt_ids, prompt_mask)
    shared = head.states.expand(prompt_ids.shape[0], -1, -1)
    lines = lay_out(prompt_ids, prompt_mask)
    if lines is not None:
        states = writer.read_lines(lines, head.over(lines.ids.shape[0]))
        return torch.cat([shared, states], dim=1), mask
    output = writer.lm.get_decoder()(
        input_ids=prompt_ids,
        attention_mask=_bias_behind(writer, mask, before.mask.shape[1]),
        position_ids=positions(mask)[:, -prompt_ids.shape[1] :],
        past_key_values=before.cache(),
        use_cache=writer.use_cache,
    )
    return torch.cat([shared, output.last_hidden_state], dim=1), mask


def prefill_with_tree(
    writer: Writer,
    head: SharedHead | None,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    table: AnswerTable,
    keep_prompt: bool,
) -> PromptAndTree:
    """`Writer.prefill` and `Writer.branch` in one pass: the tree is known before the prompt has been read.

    Args:
        writer: One that keeps prompts.
        head: Of all prompts; None: nothing has been read yet.
        prompt_ids: (B, P), what follows the head, padded on the left.
        prompt_mask: (B, P).
        table: The space's trie.
        keep_prompt: Whether more will be read behind the prompts.
    """
    rows, nodes, depth = prompt_ids.shape[0], table.node_token[table.inner], table.node_depth[table.inner]
    before, ids, mask = (None, prompt_ids, prompt_mask) if head is None else _with_head(head, prompt_ids, prompt_mask)
    cached = 0 if before is None else before.mask.shape[1]
    bias = tree_bias(mask, depth, table.inner_sees, writer.dtype, writer.windows, True, cached)
    behind = mask.sum(dim=1, keepdim=True) + depth[None] - 1
    keep = keep_prompt or before is not None
    both_ids = torch.cat([prompt_ids, nodes[None].expand(rows, -1)], dim=1)
    cache = empty_cache() if before is None else before.cache()
    output, states = writer.with_states(
        input_ids=both_ids,
        attention_mask=bias,
        position_ids=torch.cat([positions(mask)[:, cached:], behind], dim=1),
        past_key_values=cache if keep else None,
        use_cache=keep and writer.use_cache,
        logits_to_keep=last_columns(both_ids, nodes.shape[0] + 1),
    )
    logits: Tensor = output.logits
    if not keep_prompt:
        return PromptAndTree(Prefix((), (), ids, mask, logits[:, 0]), logits)
    both = torch.cat([mask, torch.ones_like(behind)], dim=1)
    whole = as_prefix(cache, ids, both, logits[:, 0])
    columns, read = mask.shape[1], prompt_ids.shape[1]
    prompts = whole._replace(
        keys=tuple(key[:, :, :columns] for key in whole.keys),
        values=tuple(value[:, :, :columns] for value in whole.values),
        mask=mask,
        states=None if states is None else states[:, :read].clone(),  # a view would hold the nodes' states too
    )
    if before is None:
        return PromptAndTree(prompts, logits)
    return PromptAndTree(_closed_up(writer, prompts.with_states_before(before.states)), logits)


def _with_head(head: SharedHead, ids: Tensor, mask: Tensor) -> tuple[Prefix, Tensor, Tensor]:
    """The head before these rows; ids and mask of both together."""
    before = head.over(ids.shape[0])
    return before, torch.cat([before.ids, ids], dim=1), torch.cat([before.mask, mask], dim=1)


def _bias_behind(writer: Writer, mask: Tensor, cached: int) -> Tensor | dict[str, Tensor]:
    """The mask as the model takes it; where layers see a window, drawn by positions: columns count the padding too."""
    if writer.windows is None:
        return mask
    none = mask.new_zeros(0)
    return tree_bias(mask, none, none[:, None].bool(), writer.dtype, writer.windows, True, cached)


def _closed_up(writer: Writer, prefix: Prefix) -> Prefix:
    """The same with all padding in front, where later passes have windows, which models count in columns."""
    if writer.windows is None:
        return prefix
    order = prefix.mask.argsort(dim=1, stable=True)

    def moved(cached: Tensor) -> Tensor:
        return cached.gather(2, order[:, None, :, None].expand_as(cached))

    return prefix._replace(
        keys=tuple(map(moved, prefix.keys)),
        values=tuple(map(moved, prefix.values)),
        ids=prefix.ids.gather(1, order),
        mask=prefix.mask.gather(1, order),
        states=None if prefix.states is None else prefix.states.gather(1, order[:, :, None].expand_as(prefix.states)),
    )
