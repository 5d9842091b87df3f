"""What the writer is shown while it learns: gold's tokens, its own, or a mixture (sections 4 and 6).

An own token is the one that inference would take: the likeliest child of the trie node reached so far, chosen in eval
mode and without gradient (`own`: "sample" draws among the children instead, "free" takes the likeliest token of the
whole vocabulary). The prompt is not read again for it: with `peft.dropout` its states are those that learning draws.
Targets stay gold's. A history ends at its own terminator, whatever gold's length, and targets beyond the shorter of the
two are masked, so that gold's length never leaks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from predgen.answers.build import Table
from predgen.answers.option_table import OptionTable
from predgen.answers.tables import AnswerTable
from predgen.config import OwnTokens, SamplingMode
from predgen.decoding.walk import LOOK_EVERY, any_running, walk, walk_tree
from predgen.model.prefix import Prefix
from predgen.model.sampling import GumbelNoise
from predgen.model.writer import Writer


class History(NamedTuple):
    """The answer tokens that the writer is shown, ỹ; T columns, without the terminator."""

    ids: Tensor  # (B, T) int64, padded on the right
    mask: Tensor  # (B, T) bool
    targets: Tensor  # (B, T + 1) int64; the gold token behind each position, the prompt's last one included
    target_mask: Tensor  # (B, T + 1) bool; within gold's length and within the history's, whichever is shorter
    target_weights: Tensor  # (B, T + 1) float; place weights of the gold tokens
    nodes: Tensor | None  # (B, T + 1) int64; trie nodes reached before each target; None where it left the trie
    own: Tensor  # (B,) bool; no coin of the row asked for gold
    read: Tensor  # (B, T) bool; what a director reads: all, or of a solution its number, where it has come to one


def gold_history(table: Table, answer_index: Tensor) -> History:
    """Teacher forcing: every token is gold's.

    Args:
        table: The space's answers.
        answer_index: (B,) gold answers.
    """
    mask = table.target_mask[answer_index]
    width = int(mask.sum(dim=1).max())
    targets = table.targets[answer_index][:, :width].long()
    nodes = table.path_nodes[answer_index][:, :width].long()
    content = mask[:, 1:width]  # a content token is one that something follows
    return History(
        ids=targets[:, :-1],
        mask=content,
        targets=targets,
        target_mask=mask[:, :width],
        target_weights=table.target_weights[answer_index][:, :width],
        nodes=nodes,
        own=torch.zeros_like(answer_index, dtype=torch.bool),
        read=read_by_director(table, content, nodes),
    )


def write_history(
    writer: Writer,
    prefix: Prefix,
    table: Table,
    answer_index: Tensor,
    mode: SamplingMode,
    own: OwnTokens,
    coins: Tensor,
    noise: GumbelNoise | None,
) -> History:
    """The history of one step, written in eval mode and without gradient.

    Args:
        writer: The language model; left in the mode it came in.
        prefix: The prompts, read; only its values are used.
        table: The answer space.
        answer_index: (B,) gold answers.
        mode: "parallel" predicts all own tokens at once; the other modes differ in their coins alone.
        own: How own tokens are chosen.
        coins: (B, L + 1) bool, true where the model's own token is taken.
        noise: Where own tokens are drawn.
    """
    training = writer.training
    writer.eval()
    prefix = writer.to_sample_from(prefix)
    if own == "free":
        history = free_history(writer, prefix, table, answer_index, coins)
    else:
        write = parallel_history if mode == "parallel" else mixed_history
        with writer.choosing():
            history = write(writer, prefix, table, answer_index, coins, noise)
    writer.train(training)
    return history


def mixed_history(
    writer: Writer,
    prefix: Prefix,
    table: Table,
    answer_index: Tensor,
    coins: Tensor,
    noise: GumbelNoise | None = None,
) -> History:
    """Walks the answer space, taking at each position gold's token or the model's own; see `walk`.

    Args:
        writer: The language model.
        prefix: The prompts, read; only its values are used, no gradient flows.
        table: The answer space.
        answer_index: (B,) gold answers.
        coins: (B, L + 1) bool, true where the model's own token is taken.
        noise: To draw own tokens; None: the likeliest.
    """
    walked = walk(writer, prefix, table, _gold_tokens(table, answer_index), coins, noise)
    return _history(table, answer_index, walked.ids, walked.mask, walked.nodes, walked.own)


def tree_history(
    logits: Tensor, table: AnswerTable, answer_index: Tensor, coins: Tensor, noise: GumbelNoise | None = None
) -> History:
    """As `mixed_history`, over what the writer has said at every node of the trie: nothing is left to be written.

    Args:
        logits: (B, 1 + M, V), behind the prompt and at each inner node; only their values are used.
        table: The answer trie.
        answer_index: (B,) gold answers.
        coins: (B, L + 1) bool, true where the model's own token is taken.
        noise: To draw own tokens; None: the likeliest.
    """
    walked = walk_tree(logits, table, _gold_tokens(table, answer_index), coins, noise)
    return _history(table, answer_index, walked.ids, walked.mask, walked.nodes, walked.own)


@torch.no_grad()
def free_history(writer: Writer, prefix: Prefix, table: Table, answer_index: Tensor, coins: Tensor) -> History:
    """Gold's token at a position or the likeliest of the whole vocabulary, whatever the answer space.

    As the model would write with nothing to hold it. Gold's tokens are taken by position, even behind an own token that
    has left gold's answer, as Bengio et al. (2015) do. It ends at its own terminator, or is as long as the space's
    longest answer.

    Args:
        writer: The language model.
        prefix: The prompts, read.
        table: The space's answers.
        answer_index: (B,) gold answers.
        coins: (B, L + 1) bool, true where the model's own token is taken.
    """
    gold = _gold_tokens(table, answer_index)
    running = torch.ones_like(gold[:, 0], dtype=torch.bool)
    own = torch.ones_like(running)
    tokens: list[Tensor] = []
    content: list[Tensor] = []
    logits = prefix.logits
    for position in range(table.depth):
        if position:
            written = writer.extend(prefix, tokens[-1][:, None], content[-1][:, None])
            prefix, logits = written.prefix, written.logits[:, -1]
        take_gold = ~coins[:, position] & (gold[:, position] >= 0)
        token = torch.where(take_gold, gold[:, position], logits.argmax(dim=1))
        own = own & (coins[:, position] | ~running)
        running = running & (token != table.terminator)
        tokens.append(torch.where(running, token, torch.zeros_like(token)))
        content.append(running)
        if position % LOOK_EVERY == LOOK_EVERY - 1 and not any_running(running, writer):
            break
    return _history(table, answer_index, torch.stack(tokens, dim=1), torch.stack(content, dim=1), None, own)


@torch.no_grad()
def parallel_history(
    writer: Writer,
    prefix: Prefix,
    table: Table,
    answer_index: Tensor,
    coins: Tensor,
    noise: GumbelNoise | None = None,
) -> History:
    """Every own token is predicted at once, from the gold history (Mihaylova & Martins 2019; Duckworth et al. 2019).

    One pass instead of one a token, and an approximation: an own token is what would follow gold, not what would follow
    the mixture, so the mixture may be no answer of the space, and it is never longer than gold.

    Args:
        writer: The language model.
        prefix: The prompts, read.
        table: The space's trie.
        answer_index: (B,) gold answers.
        coins: (B, L + 1) bool, true where the model's own token is taken.
        noise: To draw own tokens; None: the likeliest.
    """
    assert not isinstance(table, OptionTable)  # the generator's alone, which is shown gold
    gold = gold_history(table, answer_index)
    width = gold.ids.shape[1]
    logits = writer.extend(prefix, gold.ids, gold.mask).logits[:, :width]
    nodes = table.path_nodes[answer_index][:, : width + 1].long()
    position = torch.arange(width, device=nodes.device)
    best = table.choose(nodes[:, :width], logits, position, None if noise is None else noise.take(width))
    coins = coins[:, :width]
    token = torch.where(coins, best, gold.ids)
    # The history ends at the first own terminator, and where gold does.
    content = (gold.mask & (token != table.terminator)).int().cumprod(dim=1).bool()
    own = (coins | ~gold.mask).all(dim=1)
    shown = torch.where(content, token, torch.zeros_like(token))
    return _history(table, answer_index, shown, content, nodes, own)


def _gold_tokens(table: Table, answer_index: Tensor) -> Tensor:
    """(B, L + 1); −1 behind gold's end, which is no token, where the table's filling, 0, would be one."""
    return table.targets[answer_index].long().masked_fill(~table.target_mask[answer_index], -1)


def read_by_director(table: Table, mask: Tensor, nodes: Tensor | None) -> Tensor:
    """Which tokens a director reads; all of those shown where none of them is the answer's own part.

    Args:
        table: The answer space.
        mask: (B, T) bool; tokens that are shown.
        nodes: (B, T + 1) before each of them and behind the last; None where they have left the space.
    """
    if nodes is None:
        return mask
    read = mask & table.reads(nodes[:, 1:])
    return torch.where(read.any(dim=1, keepdim=True), read, mask)


def _history(
    table: Table, answer_index: Tensor, ids: Tensor, mask: Tensor, nodes: Tensor | None, own: Tensor
) -> History:
    width = max(1, int(mask.sum(dim=1).max()))  # free text may end before it began; the model needs a column
    # Position t + 1 has a target if the history reaches it: everything before it is content, and gold is that long.
    reached = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)[:, : width + 1]
    return History(
        ids=ids[:, :width],
        mask=mask[:, :width],
        targets=table.targets[answer_index][:, : width + 1].long(),
        target_mask=table.target_mask[answer_index][:, : width + 1] & reached,
        target_weights=table.target_weights[answer_index][:, : width + 1],
        nodes=None if nodes is None else nodes[:, : width + 1],
        own=own,
        read=read_by_director(table, mask[:, :width], None if nodes is None else nodes[:, : width + 1]),
    )
