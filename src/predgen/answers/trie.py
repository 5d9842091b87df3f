"""The token trie of an answer space under a tokenizer; no torch.

Answers are tokenised where they will stand, right behind the prompt's cue: " positive" and "positive" are different
tokens for most tokenizers, and only one of them is what the model would write there. Two answers may share their first
tokens, and one may be a prefix of another ("good", "good enough"): the shorter one then ends in a terminator node, so
that every answer has a leaf of its own and their probabilities cannot overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from predgen.answers.spaces import AnswerSpace
from predgen.data.tokens import decode, ids_behind
from predgen.errors import AnswerError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TrieNode:
    """One token in one context.

    Args:
        token: The token's id; -1 at the root.
        parent: Index of the node before it; -1 at the root.
        depth: Tokens from the root to here, this one included; 0 at the root.
        children: Token id → node index, in order of first appearance.
        answer: Index of the answer that is complete here, or -1. Only leaves carry one.
    """

    token: int
    parent: int
    depth: int
    children: dict[int, int]
    answer: int = -1


@dataclass(frozen=True)
class AnswerTrie:
    """All answers of a space as paths from the root.

    Args:
        nodes: The root first, every parent before its children.
        answers: Content token ids of each answer, in the space's order, without the terminator.
        weights: One weight a content token, as `AnswerSpace.character_weights` gives them: the largest of its
            characters' weights.
        terminator: The token that ends an answer, usually the end-of-sequence token.
        numerals: Of the answers' tokens, those that spell a whole number: token id → that number.
    """

    nodes: tuple[TrieNode, ...]
    answers: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    terminator: int
    numerals: dict[int, int]

    @property
    def depth(self) -> int:
        """Content tokens of the longest answer."""
        return max(len(answer) for answer in self.answers)

    @property
    def inner(self) -> list[int]:
        """The nodes, root left out, that have children: the only ones whose next-token distribution matters."""
        return [index for index, node in enumerate(self.nodes) if node.children and index > 0]


def build_trie(space: AnswerSpace, tokenizer: PreTrainedTokenizerBase, cue: str) -> AnswerTrie:
    r"""Tokenises every answer behind the cue and builds their trie.

    Args:
        space: The answers.
        tokenizer: The writer's tokenizer; needs an end-of-sequence token.
        cue: What the prompt ends with, e.g. ``"\nAnswer:"``.

    Raises:
        AnswerError: If an answer does not survive the tokenizer (its tokens decode to another text), cannot be told
            apart from another one, or merges with the cue.
    """
    if tokenizer.eos_token_id is None:
        raise AnswerError("The tokenizer has no end-of-sequence token.", "Answers need one to end with.")
    separator = answer_separator(cue)
    answers, weights, seen = [], [], dict[tuple[int, ...], str]()
    for index, text in enumerate(space.texts):
        ids = tuple(ids_behind(tokenizer, cue, separator + text))
        spelled = decode(tokenizer, ids).strip()
        if not ids or spelled != text:
            raise AnswerError(
                f"The tokenizer cannot write the answer {text!r}: its tokens decode to {spelled!r}.",
                remedy="Rename the label to plain characters, or use a model whose tokenizer knows them.",
            )
        if ids in seen:
            raise AnswerError(
                f"The tokenizer writes the answers {seen[ids]!r} and {text!r} with the same tokens.",
                remedy="Rename one of them.",
            )
        seen[ids] = text
        answers.append(ids)
        weights.append(token_weights(tokenizer, ids, text, space.character_weights(index)))
    nodes = _grow(answers, int(tokenizer.eos_token_id))
    spelled_by = {token: decode(tokenizer, [token]).strip() for ids in answers for token in ids}
    numerals = {token: int(text) for token, text in spelled_by.items() if text.isascii() and text.isdigit()}
    return AnswerTrie(tuple(nodes), tuple(answers), tuple(weights), int(tokenizer.eos_token_id), numerals)


def answer_separator(cue: str) -> str:
    """One space, unless the cue already ends in white space: then nothing."""
    return "" if cue[-1:].isspace() else " "


def token_weights(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], text: str, characters: Sequence[float]
) -> tuple[float, ...]:
    """The largest weight among the characters that each token adds to the text."""
    weights, covered = [], 0
    for count in range(1, len(ids) + 1):
        # A token that completes no character of its own (half of a multi-byte one, a lone space mark) weighs 1.
        until = min(len(decode(tokenizer, ids[:count]).lstrip()), len(text))
        weights.append(max(characters[covered:until], default=1.0))
        covered = max(covered, until)
    return tuple(weights)


def _grow(answers: Sequence[tuple[int, ...]], terminator: int) -> list[TrieNode]:
    nodes = [TrieNode(token=-1, parent=-1, depth=0, children={})]
    ends: dict[int, int] = {}  # node → answer that ends there

    def child(parent: int, token: int) -> int:
        if token not in nodes[parent].children:
            nodes[parent].children[token] = len(nodes)
            nodes.append(TrieNode(token=token, parent=parent, depth=nodes[parent].depth + 1, children={}))
        return nodes[parent].children[token]

    for answer, ids in enumerate(answers):
        node = 0
        for token in ids:
            node = child(node, token)
        ends[node] = answer
    for node, answer in ends.items():
        # Only an answer that others continue needs its terminator scored; elsewhere the leaf itself is the end.
        leaf = child(node, terminator) if nodes[node].children else node
        found = nodes[leaf]
        nodes[leaf] = TrieNode(found.token, found.parent, found.depth, found.children, answer)
    return nodes
