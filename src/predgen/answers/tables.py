"""The answer trie as tensors that move with the model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from predgen.answers.trie import AnswerTrie


class AnswerTable(nn.Module):
    """Gold answers and trie, as buffers that are not saved: the space and the tokenizer rebuild them.

    A answers, L content tokens of the longest, N trie nodes (the root first), C children of the widest node, M inner
    nodes (nodes with children, the root left out).

    Args:
        trie: The answers under the writer's tokenizer.
    """

    targets: Tensor  # (A, L + 1) int64; content tokens, then the terminator, then zeros
    target_mask: Tensor  # (A, L + 1) bool; true on content tokens and terminator
    target_weights: Tensor  # (A, L + 1) float; place weights, the last content token's for the terminator
    path_nodes: Tensor  # (A, L + 1) int64; the node reached before each target, the root first; then zeros
    child_tokens: Tensor  # (N, C) int64; tokens that may follow a node, filled up with 0
    child_nodes: Tensor  # (N, C) int64; the nodes they lead to, -1 where there is none
    node_answer: Tensor  # (N,) int64; the answer complete at a node, or -1
    node_token: Tensor  # (N,) int64
    node_parent: Tensor  # (N,) int64
    answer_node: Tensor  # (A,) int64; the leaf of each answer
    inner: Tensor  # (M,) int64; node indices, parents before children
    inner_depth: Tensor  # (M,) int64; 1 for the root's children
    inner_sees: Tensor  # (M, M) bool; row i may attend to column j: j is i or an ancestor of i
    slot: Tensor  # (N,) int64; where a node's next-token distribution stands: 0 the root, i + 1 inner node i, else 0

    def __init__(self, trie: AnswerTrie) -> None:
        super().__init__()
        self.terminator = trie.terminator
        self.depth = trie.depth
        self.numerals = dict(trie.numerals)
        self.levels = _levels(trie)
        # Whether any node of a depth leaves a choice; where none does, the model need not be asked for the next token.
        self.branches = tuple(
            any(len(node.children) > 1 for node in trie.nodes if node.depth == depth) for depth in range(trie.depth + 1)
        )
        for name, tensor in {**_gold(trie), **_tree(trie)}.items():
            self.register_buffer(name, tensor, persistent=False)

    @property
    def answers(self) -> int:
        """How many answers there are."""
        return int(self.answer_node.shape[0])

    @property
    def choices(self) -> int:
        """Most tokens to choose among."""
        return int(self.child_tokens.shape[1])

    def choose(self, node: Tensor, logits: Tensor, position: Tensor | int, noise: Tensor | None = None) -> Tensor:
        """The likeliest token among a node's children; any where it has none.

        Args:
            node: (…) nodes.
            logits: (…, V) of the next token.
            position: Tokens written before it; of no account in a trie.
            noise: (…, C) to be added, or None.
        """
        names, ways = self.child_tokens[node], self.child_nodes[node] >= 0
        scores = logits.gather(-1, names).masked_fill(~ways, -torch.inf)
        best = (scores if noise is None else scores + noise).argmax(dim=-1, keepdim=True)
        return names.gather(-1, best)[..., 0]

    def follow(self, node: Tensor, token: Tensor) -> Tensor:
        """The child that a token leads to, -1 where there is none; a token of -1 leads nowhere."""
        children = self.child_nodes[node]
        match = (children >= 0) & (self.child_tokens[node] == token[..., None])
        child = children.gather(-1, match.int().argmax(dim=-1, keepdim=True))[..., 0]
        return torch.where(match.any(dim=-1), child, torch.full_like(child, -1))

    def reads(self, nodes: Tensor) -> Tensor:
        """Which tokens a director reads, by the nodes that they lead to: all."""
        return torch.ones_like(nodes, dtype=torch.bool)


def _gold(trie: AnswerTrie) -> dict[str, Tensor]:
    shape = (len(trie.answers), trie.depth + 1)
    targets = torch.zeros(shape, dtype=torch.long)
    mask = torch.zeros(shape, dtype=torch.bool)
    weights = torch.zeros(shape)
    nodes = torch.zeros(shape, dtype=torch.long)
    for row, (ids, token_weights) in enumerate(zip(trie.answers, trie.weights, strict=True)):
        targets[row, : len(ids) + 1] = torch.tensor([*ids, trie.terminator])
        mask[row, : len(ids) + 1] = True
        weights[row, : len(ids) + 1] = torch.tensor([*token_weights, token_weights[-1]])
        for position, token in enumerate(ids):
            nodes[row, position + 1] = trie.nodes[int(nodes[row, position])].children[token]
    return {"targets": targets, "target_mask": mask, "target_weights": weights, "path_nodes": nodes}


def _tree(trie: AnswerTrie) -> dict[str, Tensor]:
    nodes, inner = trie.nodes, trie.inner
    width = max(len(node.children) for node in nodes)
    child_tokens = torch.zeros((len(nodes), width), dtype=torch.long)
    child_nodes = torch.full((len(nodes), width), -1, dtype=torch.long)
    for index, node in enumerate(nodes):
        for column, (token, child) in enumerate(node.children.items()):
            child_tokens[index, column], child_nodes[index, column] = token, child
    slot = torch.zeros(len(nodes), dtype=torch.long)
    sees = torch.zeros((len(inner), len(inner)), dtype=torch.bool)
    for position, index in enumerate(inner):
        slot[index] = position + 1
        parent = nodes[index].parent
        if parent > 0:
            sees[position] = sees[int(slot[parent]) - 1]
        sees[position, position] = True
    answer_node = torch.zeros(len(trie.answers), dtype=torch.long)
    for index, node in enumerate(nodes):
        if node.answer >= 0:
            answer_node[node.answer] = index
    return {
        "child_tokens": child_tokens,
        "child_nodes": child_nodes,
        "node_answer": torch.tensor([node.answer for node in nodes]),
        "node_token": torch.tensor([max(node.token, 0) for node in nodes]),
        "node_parent": torch.tensor([max(node.parent, 0) for node in nodes]),
        "answer_node": answer_node,
        "inner": torch.tensor(inner, dtype=torch.long),
        "inner_depth": torch.tensor([nodes[index].depth for index in inner], dtype=torch.long),
        "inner_sees": sees,
        "slot": slot,
    }


def _levels(trie: AnswerTrie) -> tuple[tuple[int, ...], ...]:
    """Node indices by depth, from 1 on."""
    deepest = max(node.depth for node in trie.nodes)
    return tuple(
        tuple(index for index, node in enumerate(trie.nodes) if node.depth == depth) for depth in range(1, deepest + 1)
    )
