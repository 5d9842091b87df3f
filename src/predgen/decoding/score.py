"""The exact posterior over a whole answer space, by one tree-attention pass behind the cached prompt."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from predgen.answers.tables import AnswerTable
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
def score_trie(writer: Writer, prefix: Prefix, table: AnswerTable) -> TrieScores:
    """Scores every answer of the space behind every row.

    The probability of an answer is the product of its tokens' probabilities over the vocabulary; the terminator counts
    only where another answer goes on from there, since elsewhere the trie leaves no other way to end. Each inner node
    is read once, at position prompt length + depth − 1, seeing the prompt and its own ancestors.

    Args:
        writer: The language model.
        prefix: The prompts, read.
        table: The space's trie.
    """
    nodes = table.inner.shape[0] + 1
    chunk = max(1, _LOGITS_AT_ONCE // (nodes * prefix.logits.shape[1]))
    parts = [
        _score_rows(writer, prefix.rows(start, start + chunk), table) for start in range(0, prefix.mask.shape[0], chunk)
    ]
    return TrieScores(torch.cat([part.log_probs for part in parts]), torch.cat([part.greedy for part in parts]))


def _score_rows(writer: Writer, prefix: Prefix, table: AnswerTable) -> TrieScores:
    logits = prefix.logits[:, None]
    if table.inner.shape[0]:
        branched = writer.branch(prefix, table.node_token[table.inner], table.inner_depth, table.inner_sees)
        logits = torch.cat([logits, branched], dim=1)
    logits = widen(logits)
    # log p(node's token | its parent's context), for every node but the root; the root's own entry is never used.
    parent_slot = table.slot[table.node_parent]
    edges = logits[:, parent_slot, table.node_token] - torch.logsumexp(logits, dim=2)[:, parent_slot]
    paths = torch.zeros_like(edges)
    for level in table.levels:
        index = torch.tensor(level, device=edges.device)
        paths[:, index] = paths[:, table.node_parent[index]] + edges[:, index]
    return TrieScores(paths[:, table.answer_node], _walk_greedily(edges, table))


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
