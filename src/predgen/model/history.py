"""What the writer is shown while it learns: gold's tokens, its own, or a mixture (sections 4 and 6).

An own token is the one that inference would take: the likeliest child of the trie node reached so far, chosen in eval
mode and without gradient (`own`: "sample" draws among the children instead, "free" takes the likeliest token of the
whole vocabulary). Targets stay gold's. A history ends at its own terminator, whatever gold's length, and targets beyond
the shorter of the two are masked, so that gold's length never leaks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from predgen.answers.tables import AnswerTable
from predgen.config import OwnTokens, SamplingMode
from predgen.model.writer import Prefix, Writer


class History(NamedTuple):
    """The answer tokens that the writer is shown, ỹ; T columns, without the terminator."""

    ids: Tensor  # (B, T) int64, padded on the right
    mask: Tensor  # (B, T) bool
    targets: Tensor  # (B, T + 1) int64; the gold token behind each position, the prompt's last one included
    target_mask: Tensor  # (B, T + 1) bool; within gold's length and within the history's, whichever is shorter
    target_weights: Tensor  # (B, T + 1) float; place weights of the gold tokens
    nodes: Tensor | None  # (B, T + 1) int64; trie nodes reached before each target; None where it left the trie
    own: Tensor  # (B,) bool; no coin of the row took gold


def gold_history(table: AnswerTable, answer_index: Tensor) -> History:
    """Teacher forcing: every token is gold's.

    Args:
        table: The space's answers.
        answer_index: (B,) gold answers.
    """
    mask = table.target_mask[answer_index]
    width = int(mask.sum(dim=1).max())
    targets = table.targets[answer_index][:, :width]
    return History(
        ids=targets[:, :-1],
        mask=mask[:, 1:width],  # a content token is one that something follows
        targets=targets,
        target_mask=mask[:, :width],
        target_weights=table.target_weights[answer_index][:, :width],
        nodes=table.path_nodes[answer_index][:, :width],
        own=torch.zeros_like(answer_index, dtype=torch.bool),
    )


def write_history(
    writer: Writer,
    prefix: Prefix,
    table: AnswerTable,
    answer_index: Tensor,
    mode: SamplingMode,
    own: OwnTokens,
    coins: Tensor,
    noise: Tensor | None,
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
        noise: As `draw_noise` gives it, where own tokens are drawn.
    """
    training = writer.training
    writer.eval()
    prefix = writer.to_sample_from(prefix)
    if own == "free":
        history = free_history(writer, prefix, table, answer_index, coins)
    elif mode == "parallel":
        history = parallel_history(writer, prefix, table, answer_index, coins, noise)
    else:
        history = mixed_history(writer, prefix, table, answer_index, coins, noise)
    writer.train(training)
    return history


@torch.no_grad()
def mixed_history(
    writer: Writer,
    prefix: Prefix,
    table: AnswerTable,
    answer_index: Tensor,
    coins: Tensor,
    noise: Tensor | None = None,
) -> History:
    """Walks the trie, taking at each position gold's token or the model's own.

    Every history is a path that inference could take. Gold's token is taken only where it continues that path: once an
    own token has left gold's answer, gold's next one may lie outside the space. The number of forward passes depends on
    the trie alone, never on the coins, so that all processes of a distributed run make as many.

    Args:
        writer: The language model.
        prefix: The prompts, read; only its values are used, no gradient flows.
        table: The space's trie.
        answer_index: (B,) gold answers.
        coins: (B, L + 1) bool, true where the model's own token is taken.
        noise: (B, L + 1, C) Gumbel noise, to draw own tokens; None: the likeliest.
    """
    gold = _gold_tokens(table, answer_index)
    rows = gold.shape[0]
    node = torch.zeros(rows, dtype=torch.long, device=gold.device)
    nodes = [node]
    running = torch.ones(rows, dtype=torch.bool, device=gold.device)
    own = torch.ones_like(running)
    tokens: list[Tensor] = []
    content: list[Tensor] = []
    unread = 0  # tokens chosen but not yet shown to the model: where the trie leaves no choice, it need not be asked
    logits = prefix.logits
    for position in range(table.depth):
        if table.branches[position] and unread:
            written = writer.extend(prefix, torch.stack(tokens[-unread:], dim=1), torch.stack(content[-unread:], dim=1))
            prefix, unread = written.prefix, 0
            # The last real token's logits; rows that have ended are not asked any more.
            logits = written.logits[:, -1]
        children, names = table.child_nodes[node], table.child_tokens[node]
        ways = children >= 0
        scores = logits.gather(1, names).masked_fill(~ways, -torch.inf)
        best = (scores if noise is None else scores + noise[:, position]).argmax(dim=1)
        matches = ways & (names == gold[:, position, None])
        take_gold = ~coins[:, position] & matches.any(dim=1)
        choice = torch.where(take_gold, matches.int().argmax(dim=1), best)[:, None]
        running = running & ways.any(dim=1)
        own = own & (~take_gold | ~running)
        token = names.gather(1, choice)[:, 0]
        # A terminator node ends the row here; it is not part of what is shown.
        running = running & (token != table.terminator)
        node = torch.where(running, children.gather(1, choice)[:, 0].clamp_min(0), node)
        nodes.append(node)
        tokens.append(torch.where(running, token, torch.zeros_like(token)))
        content.append(running)
        unread += 1
    return _history(table, answer_index, tokens, content, nodes, own)


@torch.no_grad()
def free_history(writer: Writer, prefix: Prefix, table: AnswerTable, answer_index: Tensor, coins: Tensor) -> History:
    """Gold's token at a position or the likeliest of the whole vocabulary, whatever the answer space.

    As the model would write with nothing to hold it. Gold's tokens are taken by position, even behind an own token that
    has left gold's answer, as Bengio et al. (2015) do. It ends at its own terminator, or one token past the space's
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
        own = own & (~take_gold | ~running)
        running = running & (token != table.terminator)
        tokens.append(torch.where(running, token, torch.zeros_like(token)))
        content.append(running)
    return _history(table, answer_index, tokens, content, None, own)


@torch.no_grad()
def parallel_history(
    writer: Writer,
    prefix: Prefix,
    table: AnswerTable,
    answer_index: Tensor,
    coins: Tensor,
    noise: Tensor | None = None,
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
        noise: (B, L + 1, C) Gumbel noise, to draw own tokens; None: the likeliest.
    """
    gold = gold_history(table, answer_index)
    width = gold.ids.shape[1]
    logits = writer.extend(prefix, gold.ids, gold.mask).logits[:, :width]
    before = table.path_nodes[answer_index][:, :width]
    names = table.child_tokens[before]
    scores = logits.gather(2, names).masked_fill(table.child_nodes[before] < 0, -torch.inf)
    best = (scores if noise is None else scores + noise[:, :width]).argmax(dim=2, keepdim=True)
    coins = coins[:, :width]
    token = torch.where(coins, names.gather(2, best)[:, :, 0], gold.ids)
    # The history ends at the first own terminator, and where gold does.
    content = (gold.mask & (token != table.terminator)).int().cumprod(dim=1).bool()
    own = (coins | ~gold.mask).all(dim=1)
    shown = torch.where(content, token, torch.zeros_like(token))
    nodes = [table.path_nodes[answer_index][:, column] for column in range(width + 1)]
    return _history(table, answer_index, list(shown.unbind(1)), list(content.unbind(1)), nodes, own)


def _gold_tokens(table: AnswerTable, answer_index: Tensor) -> Tensor:
    """(B, L + 1); −1 behind gold's end, which is no token, where the table's filling, 0, would be one."""
    return table.targets[answer_index].masked_fill(~table.target_mask[answer_index], -1)


def _history(
    table: AnswerTable,
    answer_index: Tensor,
    tokens: list[Tensor],
    content: list[Tensor],
    nodes: list[Tensor] | None,
    own: Tensor,
) -> History:
    mask = torch.stack(content, dim=1)
    width = max(1, int(mask.sum(dim=1).max()))  # free text may end before it began; the model needs a column
    # Position t + 1 has a target if the history reaches it: everything before it is content, and gold is that long.
    reached = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)[:, : width + 1]
    return History(
        ids=torch.stack(tokens, dim=1)[:, :width],
        mask=mask[:, :width],
        targets=table.targets[answer_index][:, : width + 1],
        target_mask=table.target_mask[answer_index][:, : width + 1] & reached,
        target_weights=table.target_weights[answer_index][:, : width + 1],
        nodes=None if nodes is None else torch.stack(nodes, dim=1)[:, : width + 1],
        own=own,
    )
