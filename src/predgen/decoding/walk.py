"""Writing an answer token by token, each one that the answer space allows; gold's where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from predgen.answers.build import Table
from predgen.answers.free_table import FreeTable
from predgen.answers.option_table import OptionTable
from predgen.answers.tables import AnswerTable
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


class _BehindPrefix:
    """What the model says behind the tokens written so far, each shown to it when it is asked for the next.

    Args:
        writer: The language model.
        prefix: The prompts, read.
    """

    def __init__(self, writer: Writer, prefix: Prefix) -> None:
        self._writer, self._prefix = writer, prefix
        self.rows, self.device = prefix.mask.shape[0], prefix.mask.device

    def next(self, node: Tensor, ids: Sequence[Tensor], mask: Sequence[Tensor]) -> Tensor:
        """(B, V) logits of the next token; the last real token's: rows that have ended are not asked any more."""
        if not ids:
            return self._prefix.logits
        written = self._writer.extend(self._prefix, torch.stack(list(ids), dim=1), torch.stack(list(mask), dim=1))
        self._prefix = written.prefix
        return written.logits[:, -1]

    def asked(self, choosing: Tensor) -> bool:
        """Whether it is asked for the next token: where any row has a choice to make. See `any_running`."""
        return any_running(choosing, self._writer)

    def any_running(self, running: Tensor) -> bool:
        """See `any_running`."""
        return any_running(running, self._writer)


class _OverTree:
    """What the model said at every node, in one pass.

    Args:
        logits: (B, 1 + M, V).
        column: (N,) where each node's stand.
    """

    def __init__(self, logits: Tensor, column: Tensor) -> None:
        self._logits, self._column = logits, column
        self.rows, self.device = logits.shape[0], logits.device

    def next(self, node: Tensor, ids: Sequence[Tensor], mask: Sequence[Tensor]) -> Tensor:
        """(B, V) logits at the rows' nodes; of no account where nothing follows."""
        return self._logits[torch.arange(self.rows, device=self.device), self._column[node]]

    def asked(self, choosing: Tensor) -> bool:
        """Whether it is asked: always, which is cheaper than to look."""
        return True

    def any_running(self, running: Tensor) -> bool:
        """Whether any row still writes; no pass waits for another process."""
        return bool(running.any())


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
    token has left gold's answer, gold's next one may lie outside the space. The model is asked only where some row has
    a choice that no gold token makes for it, of any process where each pass needs all of them (see `any_running`), as
    is when to stop.

    Args:
        writer: The language model.
        prefix: The prompts, read; only its values are used, no gradient flows.
        table: The answer space.
        gold: (B, T) gold tokens, -1 behind their end; None: all tokens are the model's own.
        coins: (B, T) bool, true where the model's own token is taken; goes with `gold`.
        noise: To draw own tokens; None: the likeliest.
    """
    assert not isinstance(table, OptionTable)  # rows with options of their own are scored, and never written
    return _walk(_BehindPrefix(writer, prefix), table, gold, coins, noise)


@torch.no_grad()
def walk_tree(
    logits: Tensor, table: AnswerTable, gold: Tensor | None, coins: Tensor | None, noise: Noise | None = None
) -> Walk:
    """As `walk`, over what the model has said at every node: nothing is left to ask it.

    Args:
        logits: (B, 1 + M, V), behind the prompt and at each inner node.
        table: The answer trie.
        gold: As `walk` takes it, like the others.
        coins: True where the model's own token is taken.
        noise: To draw own tokens.
    """
    return _walk(_OverTree(logits, table.columns), table, gold, coins, noise)


def _walk(
    model: _BehindPrefix | _OverTree,
    table: AnswerTable | FreeTable,
    gold: Tensor | None,
    coins: Tensor | None,
    noise: Noise | None,
) -> Walk:
    node = torch.zeros(model.rows, dtype=torch.long, device=model.device)
    nodes, tokens, content = [node], list[Tensor](), list[Tensor]()
    running = torch.ones(model.rows, dtype=torch.bool, device=node.device)
    own = torch.ones_like(running)
    shown = 0  # tokens that the model has seen
    logits = model.next(node, (), ())
    take_gold = torch.zeros_like(running)
    for position in range(table.depth):
        if gold is not None and coins is not None:
            take_gold = ~coins[:, position] & (table.follow(node, gold[:, position]) >= 0)
        # Where no gold is taken free text alone is written, nearly all choices: to look would have a GPU wait for each.
        if shown < position and (coins is None or model.asked(running & ~take_gold & table.parts(node))):
            logits, shown = model.next(node, tokens[shown:], content[shown:]), position
        token = table.choose(node, logits, position, None if noise is None else noise.take(1)[:, 0])
        if gold is not None:
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
        if position % LOOK_EVERY == LOOK_EVERY - 1 and not model.any_running(running):
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
