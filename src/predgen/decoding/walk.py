"""Writing an answer token by token, each one that the answer space allows; gold's where that is asked for."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from predgen.answers.build import Table
from predgen.answers.option_table import OptionTable
from predgen.model.prefix import Prefix
from predgen.model.writer import Writer
from predgen.sharded import is_sharded

LOOK_EVERY = 16  # tokens after which it is asked whether any row still writes


class Noise(Protocol):
    """What turns the likeliest token into a draw."""

    def take(self, positions: int) -> Tensor:
        """(B, positions, choices), of the next positions."""
        ...


class Walk(NamedTuple):
    """Answers of B rows as paths; T columns, as many as the space's longest answer or, once all have ended, fewer."""

    ids: Tensor  # (B, T) int64, without the terminator, padded on the right with zeros
    mask: Tensor  # (B, T) bool
    nodes: Tensor  # (B, T + 1) int64; the node or state before each token and behind the last
    own: Tensor  # (B,) bool; no coin of the row asked for gold's token


@torch.no_grad()
def walk(
    writer: Writer,
    prefix: Prefix,
    table: Table,
    gold: Tensor | None = None,
    coins: Tensor | None = None,
    noise: Noise | None = None,
) -> Walk:
    """Walks the trie or the automaton, taking at each position the model's own token, or gold's.

    Every path is one that inference could take. Gold's token is taken only where it continues that path: once an own
    token has left gold's answer, gold's next one may lie outside the space. Whether the model is asked depends on the
    space alone, and when to stop on all rows of all processes where each pass needs all of them (see `any_running`).

    Args:
        writer: The language model.
        prefix: The prompts, read; only its values are used, no gradient flows.
        table: The answer space.
        gold: (B, T) gold tokens, -1 behind their end; None: all tokens are the model's own.
        coins: (B, T) bool, true where the model's own token is taken; goes with `gold`.
        noise: To draw own tokens; None: the likeliest.
    """
    assert not isinstance(table, OptionTable)  # rows with options of their own are scored, and never written
    rows = prefix.mask.shape[0]
    node = torch.zeros(rows, dtype=torch.long, device=prefix.mask.device)
    nodes, tokens, content = [node], list[Tensor](), list[Tensor]()
    running = torch.ones(rows, dtype=torch.bool, device=node.device)
    own = torch.ones_like(running)
    unread = 0  # tokens chosen but not yet shown to the model: where the space leaves no choice, it need not be asked
    logits = prefix.logits
    for position in range(table.depth):
        if table.branches[position] and unread:
            written = writer.extend(prefix, torch.stack(tokens[-unread:], dim=1), torch.stack(content[-unread:], dim=1))
            prefix, unread = written.prefix, 0
            # The last real token's logits; rows that have ended are not asked any more.
            logits = written.logits[:, -1]
        token = table.choose(node, logits, position, None if noise is None else noise.take(1)[:, 0])
        if gold is not None and coins is not None:
            take_gold = ~coins[:, position] & (table.follow(node, gold[:, position]) >= 0)
            token = torch.where(take_gold, gold[:, position], token)
        reached = table.follow(node, token)
        running = running & (reached >= 0)
        if coins is not None:
            # Whether gold could be taken is not asked: own rows would be those that gold contradicts.
            own = own & (coins[:, position] | ~running)
        # The terminator ends the row here; it is not part of what is shown.
        running = running & (token != table.terminator)
        node = torch.where(running, reached, node)
        nodes.append(node)
        tokens.append(torch.where(running, token, torch.zeros_like(token)))
        content.append(running)
        unread += 1
        if position % LOOK_EVERY == LOOK_EVERY - 1 and not any_running(running, writer):
            break
    return Walk(torch.stack(tokens, dim=1), torch.stack(content, dim=1), torch.stack(nodes, dim=1), own)


def any_running(running: Tensor, writer: Writer) -> bool:
    """Whether any row still writes; of any process, where they hold the writer's weights in parts.

    Such processes put each layer together in every pass, so that all must make as many. Others wait for each other at
    gradients alone, and when they score, each makes as many passes as its own rows ask for.
    """
    some = running.any().int()
    if is_sharded(writer):
        torch.distributed.all_reduce(some, torch.distributed.ReduceOp.MAX)
    return bool(some)
