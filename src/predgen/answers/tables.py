"""The answer trie as tensors that move with the model."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from predgen.answers.trie import AnswerTrie
from predgen.config import SearchConfig

_EXACT = SearchConfig(exact_nodes=2**62)
_WHOLE = 1024  # inner nodes up to which who sees whom is kept, M · M truth values


class AnswerTable(nn.Module):
    """Gold answers and trie, as buffers that are not saved: the space and the tokenizer rebuild them.

    A answers, L content tokens of the longest, N trie nodes (the root first), M inner nodes (nodes with children, the
    root left out).

    Args:
        trie: The answers under the writer's tokenizer.
        search: From how many inner nodes on answers are searched for instead of being scored one and all.
        values: (A,) the answers' numbers, ascending; None where they are none.
    """

    targets: Tensor  # (A, L + 1) int32; content tokens, then the terminator, then zeros
    target_mask: Tensor  # (A, L + 1) bool; true on content tokens and terminator
    target_weights: Tensor  # (A, L + 1) float; place weights, the last content token's for the terminator
    path_nodes: Tensor  # (A, L + 1) int32; the node reached before each target, the root first; then zeros
    first_child: Tensor  # (N,) int64; a node's first child, its others right behind; 0 where there is none
    child_count: Tensor  # (N,) int64
    node_answer: Tensor  # (N,) int64; the answer complete at a node, or -1
    node_token: Tensor  # (N,) int64
    node_parent: Tensor  # (N,) int64
    node_depth: Tensor  # (N,) int64
    answer_node: Tensor  # (A,) int64; the leaf of each answer
    inner: Tensor  # (M,) int64; node indices, depth first
    columns: Tensor  # (N,) int64; where a node stands in `inner`, 1 the first; 0 the root, and what nothing follows
    inner_sees: Tensor  # (M, M) bool; row i may attend to column j: j is i or an ancestor of i; (0, 0) of large tries

    def __init__(
        self, trie: AnswerTrie, search: SearchConfig = _EXACT, values: NDArray[np.float64] | None = None
    ) -> None:
        super().__init__()
        self.terminator, self.depth, self.search = trie.terminator, trie.longest, search
        self.numerals = dict(trie.numerals)
        self.levels = _levels(trie)
        self.choices = int(trie.child_count.max())
        # A search reports on the processor, row by row.
        self.values = values
        self.below = None if self.exact_by(len(trie.inner)) else Below(trie, values)
        for name, tensor in {**_gold(trie), **_tree(trie)}.items():
            self.register_buffer(name, tensor, persistent=False)

    def exact_by(self, inner: int) -> bool:
        """Whether a trie of so many inner nodes is scored as a whole."""
        return inner <= self.search.exact_nodes

    @property
    def exact(self) -> bool:
        """Whether every answer is scored; else the likeliest are searched for."""
        return self.below is None

    @property
    def answers(self) -> int:
        """How many answers there are."""
        return int(self.answer_node.shape[0])

    @property
    def tokens(self) -> Tensor:
        """(C,) the ids of all tokens that an answer or its end is written with, and of 0, which fills up targets."""
        found: Tensor = torch.unique(self.targets).long()
        return found

    def renumbered(self, tokens: Tensor) -> AnswerTable:
        """The same trie for logits of some tokens only.

        Args:
            tokens: (C,) token ids, ascending, each once; `tokens` of this table among them.

        Returns:
            A table whose tokens are numbered by where they stand there.
        """
        other = copy.copy(self)
        other._buffers = {
            **self._buffers,
            **{name: torch.searchsorted(tokens, getattr(self, name).long()) for name in ("node_token", "targets")},
        }
        return other

    def allowed(self, node: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens of nodes' (…) children, (…, C), and which of these entries are any, (…, C) bool."""
        ways = self.ways(node)
        return self.node_token[ways.clamp_min(0)], ways >= 0

    def parts(self, node: Tensor) -> Tensor:
        """Which nodes (…) leave a choice of how to go on."""
        return self.child_count[node] > 1

    def ways(self, node: Tensor) -> Tensor:
        """(…, C) the children of nodes (…); -1 fills up to the C of the widest of them, at least one."""
        count = self.child_count[node][..., None]
        steps = torch.arange(max(1, int(count.max())), device=node.device)
        return torch.where(steps < count, self.first_child[node][..., None] + steps, -1)

    def choose(self, node: Tensor, logits: Tensor, position: Tensor | int, noise: Tensor | None = None) -> Tensor:
        """The likeliest token among a node's children; any where it has none.

        Args:
            node: (…) nodes.
            logits: (…, V) of the next token.
            position: Tokens written before it; of no account in a trie.
            noise: (…, choices) to be added, or None.
        """
        names, fits = self.allowed(node)
        scores = logits.gather(-1, names)
        scores = scores if noise is None else scores + noise[..., : names.shape[-1]]
        best = scores.masked_fill(~fits, -torch.inf).argmax(dim=-1, keepdim=True)
        return names.gather(-1, best)[..., 0]

    def follow(self, node: Tensor, token: Tensor) -> Tensor:
        """The child that a token leads to, -1 where there is none; a token of -1 leads nowhere."""
        ways = self.ways(node)
        match = (ways >= 0) & (self.node_token[ways.clamp_min(0)] == token[..., None])
        child = ways.gather(-1, match.int().argmax(dim=-1, keepdim=True))[..., 0]
        return torch.where(match.any(dim=-1), child, torch.full_like(child, -1))

    def reads(self, nodes: Tensor) -> Tensor:
        """Which tokens a director reads, by the nodes that they lead to: all."""
        return torch.ones_like(nodes, dtype=torch.bool)


class Below:
    """What lies below each node of a trie, for the rows' bookkeeping of a search; all on the processor.

    Args:
        trie: The answers.
        values: (A,) their numbers, or None.
    """

    def __init__(self, trie: AnswerTrie, values: NDArray[np.float64] | None) -> None:
        count = (trie.child_count == 0).astype(np.int64)
        starts = [np.searchsorted(trie.depth, depth) for depth in range(int(trie.depth[-1]) + 2)]
        levels = [slice(start, stop) for start, stop in itertools.pairwise(starts)]
        for level in reversed(levels[1:]):
            np.add.at(count, trie.parent[level], count[level])
        # Leaves in the order of a walk depth first: those below a node stand in one stretch.
        start = np.zeros_like(count)
        for level in levels[1:]:
            parent = trie.parent[level]
            before = np.cumsum(count[level]) - count[level]
            start[level] = start[parent] + before - before[trie.first_child[parent] - level.start]
        self.answer, self.depth, self.children = trie.answer, trie.depth, trie.child_count  # (N,), as the trie has them
        self.count, self.start = count, start  # (N,) answers below a node, and where their stretch begins
        self.answers = np.empty(len(trie.leaf), dtype=np.int64)  # (A,) in that order
        self.answers[start[trie.leaf]] = np.arange(len(trie.leaf))
        self.middle = None if values is None else self._middles(trie, values, levels)

    def _middles(self, trie: AnswerTrie, values: NDArray[np.float64], levels: Sequence[slice]) -> NDArray[np.float64]:
        """(N,) the answer's number that is nearest to the mean of those below each node."""
        # Summed from the leaves up: among millionths, differences of sums over millions would be rounding alone.
        sums = np.zeros(len(trie.token))
        sums[trie.leaf] = values
        for level in reversed(levels[1:]):
            np.add.at(sums, trie.parent[level], sums[level])
        mean = sums / self.count
        right = np.clip(np.searchsorted(values, mean), 1, len(values) - 1)
        left_is_nearer = mean - values[right - 1] <= values[right] - mean
        return np.asarray(np.where(left_is_nearer, values[right - 1], values[right]))


def _gold(trie: AnswerTrie) -> dict[str, Tensor]:
    rows, lengths = np.arange(len(trie.ids)), trie.lengths
    targets = np.concatenate([np.maximum(trie.ids, 0), np.zeros_like(trie.ids[:, :1])], axis=1)
    targets[rows, lengths] = trie.terminator
    weights = np.concatenate([trie.token_weights, np.zeros_like(trie.token_weights[:, :1])], axis=1)
    weights[rows, lengths] = weights[rows, lengths - 1]
    return {
        "targets": torch.from_numpy(targets),
        "target_mask": torch.from_numpy(np.arange(trie.longest + 1) <= lengths[:, None]),
        "target_weights": torch.from_numpy(weights),
        "path_nodes": torch.from_numpy(trie.paths),
    }


def _tree(trie: AnswerTrie) -> dict[str, Tensor]:
    inner = trie.inner
    columns = np.zeros(len(trie.token), dtype=np.int64)
    columns[inner] = np.arange(1, len(inner) + 1)
    sees = np.zeros((0, 0), dtype=bool)
    if len(inner) <= _WHOLE:
        sees = np.eye(len(inner), dtype=bool)
        for position, parent in enumerate(trie.parent[inner].tolist()):
            if parent > 0:
                sees[position] |= sees[columns[parent] - 1]
    return {
        "first_child": torch.from_numpy(trie.first_child),
        "child_count": torch.from_numpy(trie.child_count),
        "node_answer": torch.from_numpy(trie.answer),
        "node_token": torch.from_numpy(np.maximum(trie.token, 0)),
        "node_parent": torch.from_numpy(np.maximum(trie.parent, 0)),
        "node_depth": torch.from_numpy(trie.depth),
        "answer_node": torch.from_numpy(trie.leaf),
        "inner": torch.from_numpy(inner),
        "columns": torch.from_numpy(columns),
        "inner_sees": torch.from_numpy(sees),
    }


def _levels(trie: AnswerTrie) -> tuple[tuple[int, int], ...]:
    """The first node of each depth from 1 on, and the one behind its last."""
    starts = np.searchsorted(trie.depth, np.arange(1, int(trie.depth[-1]) + 2)).tolist()
    return tuple(itertools.pairwise(starts))
