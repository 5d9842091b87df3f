"""The exact posterior over a whole answer space, by tree-attention passes behind the cached prompt.

A small trie goes in one pass. Of a large one its inner nodes are read in stretches, depth first, each with the
ancestors of its first node again: that is exact, costs at most the trie's depth a stretch, and keeps the logits and who
sees whom within a budget.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from predgen.answers.tables import AnswerTable
from predgen.config import Normalise
from predgen.model.prefix import Prefix
from predgen.model.writer import Writer

# The largest block of next-token logits held at once: rows · nodes · vocabulary, in numbers.
LOGITS_AT_ONCE = 64 * 2**20
# Nodes of a pass: each attends to all others', so that more of them cost more than they save.
NODES_AT_ONCE = 1024
# The longest prompt that is read together with the trie. The mask that takes is one number a pair of columns; a longer
# prompt alone needs none, and is read faster so.
_ONE_PASS_COLUMNS = 256
# The largest block of logits then, in numbers; more rows go in several passes, which are large enough all the same.
_ONE_PASS_LOGITS = 16 * 2**20
# So many nodes are summed over the vocabulary at a time: the sum makes a copy of its logits.
_SUMMED_AT_ONCE = 8


class TrieScores(NamedTuple):
    """What the writer thinks of every answer; B rows, A answers."""

    log_probs: Tensor  # (B, A) float; log p(answer | prompt) of the plain language model
    greedy: Tensor  # (B,) int64; the answer that picking the likeliest child at every node leads to

    @property
    def log_posterior(self) -> Tensor:
        """(B, A); log-probabilities renormalised over the space."""
        return torch.log_softmax(self.log_probs, dim=1)

    @property
    def log_mass(self) -> Tensor:
        """(B,); the log-probability that the plain language model gives to the whole space."""
        return torch.logsumexp(self.log_probs, dim=1)


@torch.no_grad()
def score_trie(writer: Writer, prefix: Prefix, table: AnswerTable, normalise: Normalise = "vocabulary") -> TrieScores:
    """`trie_scores` without its gradient."""
    return trie_scores(writer, prefix, table, normalise)


def trie_scores(writer: Writer, prefix: Prefix, table: AnswerTable, normalise: Normalise = "vocabulary") -> TrieScores:
    """Scores every answer of the space behind every row.

    The probability of an answer is the product of its tokens' probabilities over the vocabulary; the terminator counts
    only where another answer goes on from there, since elsewhere the trie leaves no other way to end. Each inner node
    is read once, at position prompt length + depth − 1, seeing the prompt and its own ancestors.

    Args:
        writer: The language model.
        prefix: The prompts, read.
        table: The space's trie.
        normalise: "vocabulary": probabilities of the plain language model. "space": each token's among those that the
            trie allows at its place, so that the answers' probabilities sum to 1 as they are.
    """
    stretches = _stretches(table, _most_nodes(writer))
    nodes = max(stretch.nodes.shape[0] for stretch in stretches) + 1
    chunk = max(1, LOGITS_AT_ONCE // (nodes * writer.vocabulary_size))
    parts = [
        _score_rows(writer, prefix.rows(start, start + chunk), table, stretches, normalise)
        for start in range(0, prefix.mask.shape[0], chunk)
    ]
    return TrieScores(torch.cat([part.log_probs for part in parts]), torch.cat([part.greedy for part in parts]))


def read_tree(writer: Writer, prefix: Prefix, table: AnswerTable) -> Tensor:
    """(B, 1 + M, V) next-token logits behind the prompt and at each inner node of a trie, with their gradient.

    Args:
        writer: The language model.
        prefix: The prompts, read.
        table: The space's trie; one that `is_one_stretch`.
    """
    return writer.branch(prefix, table.node_token[table.inner], table.node_depth[table.inner], table.inner_sees)


def is_one_stretch(writer: Writer, table: AnswerTable) -> bool:
    """Whether a trie is small enough to be read in one pass."""
    return table.exact and _fits(table, _most_nodes(writer))


def one_pass_rows(writer: Writer, table: AnswerTable, rows: int, columns: int) -> int:
    """How many of B prompts are best read together with the trie at a time; 0 where prompts are best read first.

    Args:
        writer: The language model.
        table: The space's trie.
        rows: B.
        columns: Their width.
    """
    nodes = table.inner.shape[0]
    most = _ONE_PASS_LOGITS // ((1 + nodes) * writer.vocabulary_size)
    if not (table.exact and nodes and most and writer.keeps_prompts) or columns > _ONE_PASS_COLUMNS:
        return 0
    if not _fits(table, NODES_AT_ONCE):
        return 0
    return math.ceil(rows / math.ceil(rows / most))  # passes of one size, as far as they can be


def scores_of(logits: Tensor, table: AnswerTable, normalise: Normalise) -> TrieScores:
    """The scores that next-token logits make.

    Args:
        logits: (B, 1 + M, V), behind the prompt and at each inner node.
        table: The space's trie; it is read in one stretch.
        normalise: As `trie_scores` takes it.
    """
    whole = _stretches(table, table.inner.shape[0])[0]
    return _along(_edges_of(logits, table, whole, normalise), table)


def _most_nodes(writer: Writer) -> int:
    return max(1, min(NODES_AT_ONCE, LOGITS_AT_ONCE // writer.vocabulary_size - 1))


def _fits(table: AnswerTable, most: int) -> bool:
    """Whether all inner nodes go in a pass of at most so many, and who sees whom is known."""
    nodes = table.inner.shape[0]
    return nodes <= most and table.inner_sees.shape[0] == nodes


class _Stretch(NamedTuple):
    """Inner nodes that are read in one pass, and the nodes that they decide on."""

    nodes: Tensor  # (M,); what is read: the ancestors of the first one, and a stretch of the trie's inner nodes
    sees: Tensor  # (M, M) bool
    children: Tensor  # (E,) nodes whose parents are the stretch's own nodes, and of the first stretch the root
    column: Tensor  # (E,) where their parents' logits stand: 0 the root, i + 1 the i-th of `nodes`


def _stretches(table: AnswerTable, most: int) -> list[_Stretch]:
    """The whole trie, or parts of at most so many nodes besides their ancestors."""
    inner = table.inner
    if _fits(table, most):
        everything = torch.arange(1, table.node_token.shape[0], device=inner.device)
        return [_Stretch(inner, table.inner_sees, everything, table.columns[table.node_parent[everything]])]
    stretches = []
    for start in range(0, inner.shape[0], most):
        own = inner[start : start + most]
        above, node = [], int(table.node_parent[own[0]])
        while node > 0:
            above.append(node)
            node = int(table.node_parent[node])
        nodes = torch.cat([own.new_tensor(above[::-1]), own])
        column = _columns(table, nodes)
        parents = own if start else torch.cat([own.new_zeros(1), own])
        ways = table.ways(parents)
        children = ways[ways >= 0]
        stretches.append(
            _Stretch(nodes, _who_sees(table, nodes, column), children, column[table.node_parent[children]])
        )
    return stretches


def _columns(table: AnswerTable, nodes: Tensor) -> Tensor:
    """(N,) where each node's logits stand behind those of the prompt; 0 for all that are not read."""
    column = torch.zeros_like(table.node_token)
    column[nodes] = torch.arange(1, nodes.shape[0] + 1, device=nodes.device)
    return column


def _who_sees(table: AnswerTable, nodes: Tensor, column: Tensor) -> Tensor:
    sees = torch.eye(nodes.shape[0], dtype=torch.bool, device=nodes.device)
    up = nodes
    for _ in table.levels:
        up = table.node_parent[up]
        rows = torch.nonzero(up > 0)[:, 0]
        sees[rows, column[up[rows]] - 1] = True
    return sees


def _score_rows(
    writer: Writer, prefix: Prefix, table: AnswerTable, stretches: list[_Stretch], normalise: Normalise
) -> TrieScores:
    def edges_of(stretch: _Stretch) -> Tensor:
        depth = table.node_depth[stretch.nodes]
        logits = writer.branch(prefix, table.node_token[stretch.nodes], depth, stretch.sees)
        return _edges_of(logits, table, stretch, normalise)

    if len(stretches) > 1 and torch.is_grad_enabled():
        # Kept for a gradient, the logits of all stretches together would be what the budget forbids.
        parts = [checkpoint(edges_of, stretch, use_reentrant=False) for stretch in stretches]
    else:
        parts = [edges_of(stretch) for stretch in stretches]
    if len(parts) == 1:
        return _along(parts[0], table)
    children = torch.cat([stretch.children for stretch in stretches])
    return _along(torch.cat(parts, dim=1)[:, children.argsort()], table)


def _edges_of(logits: Tensor, table: AnswerTable, stretch: _Stretch, normalise: Normalise) -> Tensor:
    """(B, E) log p(node's token | its parent's context) of a stretch's children."""
    logits = widen(logits)
    ways = logits[:, stretch.column, table.node_token[stretch.children]]
    return ways - _normaliser(logits, ways, stretch, normalise)[:, stretch.column]


def _along(edges: Tensor, table: AnswerTable) -> TrieScores:
    """Scores of whole answers, from those of every node but the root, (B, N − 1)."""
    edges = torch.cat([torch.zeros_like(edges[:, :1]), edges], dim=1)  # the root's own entry is never used
    # Grown level by level, since nothing may be written in place under a gradient; nodes are numbered so.
    whole = edges[:, :1]
    for start, stop in table.levels:
        whole = torch.cat([whole, whole[:, table.node_parent[start:stop]] + edges[:, start:stop]], dim=1)
    return TrieScores(whole[:, table.answer_node], _walk_greedily(edges, table))


def _normaliser(logits: Tensor, ways: Tensor, stretch: _Stretch, normalise: Normalise) -> Tensor:
    """(B, 1 + M) logarithms of what the next tokens' probabilities are divided by, at the root and each node read."""
    if normalise == "vocabulary":
        parts = torch.split(logits, _SUMMED_AT_ONCE, dim=1)
        return torch.cat([torch.logsumexp(part, dim=2) for part in parts], dim=1)
    column = stretch.column.expand_as(ways)
    blank = torch.full_like(logits[:, :, 0], -torch.inf)
    top = blank.scatter_reduce(1, column, ways.detach(), reduce="amax").clamp_min(-1e30)
    shares = (ways - top.gather(1, column)).exp()
    return torch.zeros_like(top).scatter_add(1, column, shares).log() + top


def _walk_greedily(edges: Tensor, table: AnswerTable) -> Tensor:
    node = torch.zeros(edges.shape[0], dtype=torch.long, device=edges.device)
    for _ in table.levels:
        ways = table.ways(node)  # (B, C)
        scores = edges.gather(1, ways.clamp_min(0)).masked_fill(ways < 0, -torch.inf)
        best = ways.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0]
        node = torch.where(best >= 0, best, node)
    return table.node_answer[node]


def widen(logits: Tensor) -> Tensor:
    """Half-precision logits as float32: a log-sum over a large vocabulary loses too much below that."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
