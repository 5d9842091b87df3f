"""The likeliest answers of a space too large to score: a beam over the prefixes of its trie that widens.

A prefix's probability is never less than that of all answers that begin with it, together. So what the prefixes hold
that have not been opened bounds what the search has missed: with the answers found holding F and the unopened prefixes
P, the answers found hold at least F / (F + P) of the space's probability. That share is reported as covered, and the
search goes on until it is 1 − ε, or a row has opened as many prefixes as it may.

It goes in sweeps, each from the first level of the trie to the last. At every level a row opens its likeliest unopened
prefixes: as many as leave no more behind than the level's part of ε, at most as many as the sweep is wide, and in the
first sweep the greedy path's in any case, so that every row finds an answer. Each sweep is twice as wide as the one
before. What a row opens follows from its own prefixes alone, whatever else is in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from predgen.answers.tables import AnswerTable, Below
from predgen.config import Normalise
from predgen.decoding.score import LOGITS_AT_ONCE, widen
from predgen.decoding.support import Floats, Support
from predgen.model.prefix import Prefix, Tree
from predgen.model.writer import Writer

Integers = NDArray[np.int64]
_WIDTH = 32  # prefixes a level of the first sweep


class Found(NamedTuple):
    """What a search found of B rows."""

    log_posterior: Tensor | None  # (B, A) of labels; an unopened prefix's probability is spread evenly below it
    support: Support | None  # of numbers
    log_mass: Tensor  # (B,); log-probability of the answers found, which the whole space has at least
    greedy: Tensor  # (B,) int64; the answer that picking the likeliest child at every node leads to
    covered: Tensor  # (B,) float64; the least share of the space's probability that the answers found hold


@torch.no_grad()
def search_trie(writer: Writer, prefix: Prefix, table: AnswerTable, normalise: Normalise = "vocabulary") -> Found:
    """Searches behind every row; the table's own `search` sets ε and how many prefixes a row may open.

    Args:
        writer: The language model; not in training.
        prefix: The prompts, read.
        table: The space's trie.
        normalise: As `trie_scores` takes it.
    """
    assert table.below is not None
    pools: list[_Pool] = []
    chunk = max(1, LOGITS_AT_ONCE // (min(2 * _WIDTH, table.search.beam_nodes) * writer.vocabulary_size))
    for start in range(0, prefix.mask.shape[0], chunk):
        pools += _search_rows(writer, prefix.rows(start, start + chunk), table, normalise)
    numbers = table.values is not None
    found = torch.tensor([pool.found_mass for pool in pools], dtype=torch.float64)
    missed = torch.tensor([pool.missed for pool in pools], dtype=torch.float64)
    return Found(
        log_posterior=None if numbers else torch.stack([_spread(pool, table) for pool in pools]),
        support=Support.of_rows([_held(pool, table) for pool in pools]) if numbers else None,
        log_mass=found.log() + torch.tensor([pool.top for pool in pools], dtype=torch.float64),
        greedy=torch.tensor([pool.greedy for pool in pools]),
        covered=found / (found + missed),
    )


@dataclass(eq=False)
class _Pool:
    """One row's prefixes and answers."""

    levels: int
    nodes: Integers = field(default_factory=lambda: np.zeros(0, np.int64))  # unopened prefixes
    logs: Floats = field(default_factory=lambda: np.zeros(0))  # their log-probabilities
    depth: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    parent: Integers = field(default_factory=lambda: np.zeros(0, np.int64))  # where in the row's tree their parent is
    answers: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    answer_logs: Floats = field(default_factory=lambda: np.zeros(0))
    opened: int = 0
    path: int = 0  # the node that the greedy path has come to
    greedy: int = -1  # its answer

    @property
    def top(self) -> float:
        """The largest log-probability there is; masses are multiples of its exponential, which may itself be 0."""
        return float(max(self.logs.max(initial=-np.inf), self.answer_logs.max(initial=-np.inf)))

    @property
    def missed(self) -> float:
        return float(np.exp(self.logs - self.top).sum())

    @property
    def found_mass(self) -> float:
        return float(np.exp(self.answer_logs - self.top).sum())

    def wants(self, uncovered: float, most: int) -> bool:
        """Whether another sweep is due."""
        missed = self.missed
        return missed > uncovered * (self.found_mass + missed) and self.opened < most

    def take(self, depth: int, width: int, uncovered: float, most: int) -> tuple[Integers, Floats, Integers]:
        """Removes and returns what is to be opened at a level: nodes, log-probabilities, parents."""
        here = np.flatnonzero(self.depth == depth)
        here = here[np.argsort(-self.logs[here], kind="stable")]
        mass = np.exp(self.logs[here] - self.top)
        # Half of ε, since the whole is smaller once probability has leaked out of the space further down.
        spared = uncovered / 2 / self.levels * (self.found_mass + self.missed)
        left = np.cumsum(mass[::-1])[::-1]  # what is left unopened from each on
        wanted = min(int((left > spared).sum()), width, max(0, most - self.opened))
        chosen = here[:wanted]
        on_path = here[self.nodes[here] == self.path]
        chosen = np.union1d(chosen, on_path)
        taken = self.nodes[chosen], self.logs[chosen], self.parent[chosen]
        keep = np.ones(len(self.nodes), dtype=bool)
        keep[chosen] = False
        self.nodes, self.logs = self.nodes[keep], self.logs[keep]
        self.depth, self.parent = self.depth[keep], self.parent[keep]
        self.opened += len(chosen)
        return taken

    def put(self, below: Below, depth: int, nodes: Integers, logs: Floats, parent: int) -> None:
        """Takes up the children of an opened prefix; a leaf is an answer."""
        answer = below.answer[nodes]
        leaf = answer >= 0
        self.answers = np.concatenate([self.answers, answer[leaf]])
        self.answer_logs = np.concatenate([self.answer_logs, logs[leaf]])
        self.nodes = np.concatenate([self.nodes, nodes[~leaf]])
        self.logs = np.concatenate([self.logs, logs[~leaf]])
        self.depth = np.concatenate([self.depth, np.full((~leaf).sum(), depth)])
        self.parent = np.concatenate([self.parent, np.full((~leaf).sum(), parent)])

    def walk(self, below: Below, opened: int, nodes: Integers, logs: Floats) -> None:
        """Goes on along the greedy path, where the prefix opened is the one that it has come to."""
        if opened == self.path:
            self.path = int(nodes[logs.argmax()])
            self.greedy = int(below.answer[self.path])


def _search_rows(writer: Writer, prefix: Prefix, table: AnswerTable, normalise: Normalise) -> list[_Pool]:
    below, limits, levels = table.below, table.search, len(table.levels)
    assert below is not None
    pools = [_Pool(levels) for _ in range(prefix.mask.shape[0])]
    root = torch.zeros_like(prefix.ids[:, :1])
    _open(pools, [(np.zeros(1, np.int64), np.zeros(1))] * len(pools), prefix.logits[:, None], root, table, normalise, 0)
    tree, width = Tree.bare(prefix), min(_WIDTH, max(1, limits.beam_nodes // levels))
    at_once = max(1, LOGITS_AT_ONCE // (len(pools) * writer.vocabulary_size))
    going = list(pools)
    while going:
        for depth in range(1, levels):
            taken = [
                pool.take(depth, width if pool in going else 0, limits.uncovered, limits.beam_nodes) for pool in pools
            ]
            most = max(len(nodes) for nodes, _, _ in taken)
            if not most:
                continue
            nodes = _padded([opened for opened, _, _ in taken], most, 0).to(root.device)
            parent = _padded([parents for _, _, parents in taken], most, -1).to(root.device)
            # Wide sweeps have more than fit at once; nodes of a level do not see each other.
            for start in range(0, most, at_once):
                part = slice(start, start + at_once)
                before = tree.ids.shape[1]
                logits, tree = writer.grow(prefix, tree, table.node_token[nodes[:, part]], parent[:, part])
                opened = [(own[part], logs[part]) for own, logs, _ in taken]
                _open(pools, opened, logits, nodes[:, part], table, normalise, before + 1)
        going = [pool for pool in going if pool.wants(limits.uncovered, limits.beam_nodes)]
        width *= 2
    return pools


def _open(
    pools: Sequence[_Pool],
    taken: Sequence[tuple[Integers, Floats]],
    logits: Tensor,
    nodes: Tensor,
    table: AnswerTable,
    normalise: Normalise,
    first: int,
) -> None:
    """Puts the children of what was read into the pools.

    Args:
        pools: Of B rows.
        taken: Nodes and log-probabilities of each row, at most K.
        logits: (B, K, V).
        nodes: (B, K) the same nodes, filled up.
        table: The space's trie.
        normalise: As `trie_scores` takes it.
        first: The place of the first of them in their rows' trees, from 1; 0 for the root, which has none.
    """
    logits, below = widen(logits), table.below
    assert below is not None
    ways = table.ways(nodes)
    scores = logits.gather(2, table.node_token[ways.clamp_min(0)]).masked_fill(ways < 0, -torch.inf)
    over = scores if normalise == "space" else logits
    edges = (scores - torch.logsumexp(over, dim=2, keepdim=True)).double().cpu().numpy()
    children = ways.cpu().numpy()
    for row, (pool, (opened, logs)) in enumerate(zip(pools, taken, strict=True)):
        for place, (node, log) in enumerate(zip(opened.tolist(), logs.tolist(), strict=True)):
            count = below.children[node]
            reached, whole = children[row, place, :count], log + edges[row, place, :count]
            pool.put(below, int(below.depth[node]) + 1, reached, whole, first + place - 1)
            pool.walk(below, node, reached, whole)


def _padded(rows: Sequence[Integers], width: int, fill: int) -> Tensor:
    padded = np.full((len(rows), width), fill, dtype=np.int64)
    for row, part in enumerate(rows):
        padded[row, : len(part)] = part
    return torch.from_numpy(padded)


def _spread(pool: _Pool, table: AnswerTable) -> Tensor:
    """(A,) log-probabilities over all answers."""
    below = table.below
    assert below is not None
    logs = np.full(len(below.answers), -np.inf)
    for node, log in zip(pool.nodes.tolist(), pool.logs.tolist(), strict=True):
        start, count = below.start[node], below.count[node]
        logs[below.answers[start : start + count]] = log - np.log(count)
    logs[pool.answers] = pool.answer_logs
    return torch.from_numpy(logs).log_softmax(dim=0).float()


def _held(pool: _Pool, table: AnswerTable) -> tuple[Floats, Floats, Floats]:
    """Numbers, log-probabilities and log-counts: answers as they are, prefixes on the middle of what they begin."""
    below = table.below
    assert below is not None and table.values is not None and below.middle is not None
    return (
        np.concatenate([table.values[pool.answers], below.middle[pool.nodes]]),
        np.concatenate([pool.answer_logs, pool.logs]),
        # An answer that is the only one below its prefix stands there by its upper bound; it is no other's.
        np.concatenate([np.zeros(len(pool.answers)), np.log(below.count[pool.nodes])]),
    )
