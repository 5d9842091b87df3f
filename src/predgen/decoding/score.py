"""The exact posterior over a whole answer space, by one tree-attention pass behind the cached prompt."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from predgen.answers.tables import AnswerTable
from predgen.config import Normalise
from predgen.model.writer import Prefix, Writer

# The largest block of next-token logits held at once: rows · nodes · vocabulary, in numbers.
_LOGITS_AT_ONCE = 64 * 2**20


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
    nodes = table.inner.shape[0] + 1
    chunk = max(1, _LOGITS_AT_ONCE // (nodes * writer.vocabulary_size))
    parts = [
        _score_rows(writer, prefix.rows(start, start + chunk), table, normalise)
        for start in range(0, prefix.mask.shape[0], chunk)
    ]
    return TrieScores(torch.cat([part.log_probs for part in parts]), torch.cat([part.greedy for part in parts]))


def _score_rows(writer: Writer, prefix: Prefix, table: AnswerTable, normalise: Normalise) -> TrieScores:
    logits = widen(writer.branch(prefix, table.node_token[table.inner], table.inner_depth, table.inner_sees))
    # log p(node's token | its parent's context), for every node but the root; the root's own entry is never used.
    parent_slot = table.slot[table.node_parent]
    edges = logits[:, parent_slot, table.node_token] - _normaliser(logits, table, normalise)[:, parent_slot]
    # Grown level by level, since nothing may be written in place under a gradient; `place` is where a node stands.
    whole = torch.zeros_like(edges[:, :1])
    place = torch.zeros(edges.shape[1], dtype=torch.long, device=edges.device)
    for level in table.levels:
        index = torch.tensor(level, device=edges.device)
        place[index] = torch.arange(whole.shape[1], whole.shape[1] + index.shape[0], device=edges.device)
        whole = torch.cat([whole, whole[:, place[table.node_parent[index]]] + edges[:, index]], dim=1)
    return TrieScores(whole[:, place[table.answer_node]], _walk_greedily(edges, table))


def _normaliser(logits: Tensor, table: AnswerTable, normalise: Normalise) -> Tensor:
    """(B, 1 + M) logarithms of what the next tokens' probabilities are divided by, at the root and each inner node."""
    if normalise == "vocabulary":
        return torch.logsumexp(logits, dim=2)
    asked = torch.cat([table.inner.new_zeros(1), table.inner])  # the nodes whose logits these are
    names = table.child_tokens[asked].expand(logits.shape[0], -1, -1)
    ways = logits.gather(2, names).masked_fill(table.child_nodes[asked] < 0, -torch.inf)
    return torch.logsumexp(ways, dim=2)


def _walk_greedily(edges: Tensor, table: AnswerTable) -> Tensor:
    node = torch.zeros(edges.shape[0], dtype=torch.long, device=edges.device)
    for _ in table.levels:
        children = table.child_nodes[node]  # (B, C)
        open_ways = children >= 0
        scores = edges.gather(1, children.clamp_min(0)).masked_fill(~open_ways, -torch.inf)
        best = children.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0]
        node = torch.where(open_ways.any(dim=1), best, node)
    return table.node_answer[node]


def widen(logits: Tensor) -> Tensor:
    """Half-precision logits as float32: a log-sum over a large vocabulary loses too much below that."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
