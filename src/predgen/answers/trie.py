"""The token trie of an answer space under a tokenizer; no torch.

Answers are tokenised where they will stand, right behind the prompt's cue: " positive" and "positive" are different
tokens for most tokenizers, and only one of them is what the model would write there. Two answers may share their first
tokens, and one may be a prefix of another ("good", "good enough"): the shorter one then ends in a terminator node, so
that every answer has a leaf of its own and their probabilities cannot overlap.

A trie is a handful of arrays, grown level by level, so that one of 10^6 answers takes half a minute and a gigabyte.
An automaton over digits would be smaller still, but only where a tokenizer writes digit by digit and the bounds are
round numbers; the arrays hold for every tokenizer and every space, labels too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from predgen.answers.spaces import AnswerSpace
from predgen.data.tokens import answer_separator, decode, encode, many_behind
from predgen.errors import AnswerError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Integers = NDArray[np.int64]
_DIGITS = str.maketrans("123456789", "000000000")


@dataclass(frozen=True)
class TrieNode:
    """One token in one context, as `AnswerTrie.nodes` shows it.

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


@dataclass(frozen=True, eq=False)
class AnswerTrie:
    """All answers of a space as paths from the root; A answers, L tokens of the longest, N nodes.

    Nodes are numbered level by level, the root first and the children of a node in a row, those of an earlier answer in
    front and the terminator last.

    Args:
        token: (N,) each node's token; -1 at the root.
        parent: (N,) the node before it; -1 at the root.
        depth: (N,) tokens from the root to here, this one included.
        first_child: (N,) the first of its children; 0 where there is none.
        child_count: (N,) how many it has.
        answer: (N,) the answer that is complete here, or -1. Only leaves carry one.
        ids: (A, L) content tokens of each answer, in the space's order, without the terminator; -1 behind its end.
        paths: (A, L + 1) the node before each of them and behind the last, then 0.
        token_weights: (A, L) one weight a content token, as `AnswerSpace.character_weights` gives them: the largest of
            its characters' weights; 0 behind the end.
        leaf: (A,) the node in which each answer is complete.
        terminator: The token that ends an answer, usually the end-of-sequence token.
        numerals: Of the answers' tokens, those that spell a whole number: token id → that number.
    """

    token: Integers
    parent: Integers
    depth: Integers
    first_child: Integers
    child_count: Integers
    answer: Integers
    ids: NDArray[np.int32]
    paths: NDArray[np.int32]
    token_weights: NDArray[np.float32]
    leaf: Integers
    terminator: int
    numerals: dict[int, int]

    @cached_property
    def nodes(self) -> tuple[TrieNode, ...]:
        """The nodes as objects, to look at; of small tries only."""
        children = [
            {int(self.token[child]): child for child in range(first, first + count)}
            for first, count in zip(self.first_child.tolist(), self.child_count.tolist(), strict=True)
        ]
        columns = (self.token.tolist(), self.parent.tolist(), self.depth.tolist(), children, self.answer.tolist())
        return tuple(TrieNode(*node) for node in zip(*columns, strict=True))

    @cached_property
    def answers(self) -> tuple[tuple[int, ...], ...]:
        """Content token ids of each answer; of small tries only."""
        return tuple(tuple(token for token in row if token >= 0) for row in self.ids.tolist())

    @property
    def weights(self) -> tuple[tuple[float, ...], ...]:
        """One weight a content token; of small tries only."""
        rows = zip(self.answers, self.token_weights.tolist(), strict=True)
        return tuple(tuple(weights[: len(ids)]) for ids, weights in rows)

    @cached_property
    def lengths(self) -> Integers:
        """(A,) content tokens of each answer."""
        return np.asarray((self.ids >= 0).sum(axis=1))

    @property
    def longest(self) -> int:
        """Content tokens of the longest answer."""
        return int(self.ids.shape[1])

    @cached_property
    def inner(self) -> Integers:
        """The nodes, root left out, that have children: the only ones whose next-token distribution matters.

        Depth first, so that a stretch of them needs no more than the ancestors of its first to be read by itself.
        """
        found = np.flatnonzero(self.child_count)[1:]
        path = np.full((len(found), int(self.depth.max()) + 1), -1)
        up = found.copy()
        while (up > 0).any():
            rows = np.flatnonzero(up > 0)
            path[rows, self.depth[up[rows]]] = up[rows]
            up[rows] = self.parent[up[rows]]
        return np.asarray(found[np.lexsort(path.T[::-1])])


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
    terminator, separator = int(tokenizer.eos_token_id), answer_separator(cue)
    written = many_behind(tokenizer, cue, [separator + text for text in space.texts])
    ids = np.full((len(written), max(1, *map(len, written))), -1, dtype=np.int32)
    weights = np.zeros(ids.shape, dtype=np.float32)
    spelling = _Spelling(tokenizer)
    known = dict[tuple[str, tuple[int, ...]], tuple[float, ...]]()
    for index, (text, tokens) in enumerate(zip(space.texts, written, strict=True)):
        lengths = spelling.lengths(tokens, text)
        shape = (text.translate(_DIGITS), lengths)
        if shape not in known:
            known[shape] = _largest(space.character_weights(index), lengths)
        ids[index, : len(tokens)] = tokens
        weights[index, : len(tokens)] = known[shape]
    grown = _grow(ids, terminator)
    _refuse_alike(grown["leaf"], space)
    spelled_by = {int(token): decode(tokenizer, [int(token)]).strip() for token in np.unique(ids) if token >= 0}
    numerals = {token: int(piece) for token, piece in spelled_by.items() if piece.isascii() and piece.isdigit()}
    return AnswerTrie(**grown, ids=ids, token_weights=weights, terminator=terminator, numerals=numerals)


class _Spelling:
    """What tokens spell, each looked up once: decoding 10^6 answers token by token would take minutes."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.before = encode(tokenizer, "x")
        self.pieces = dict[int, str]()

    def lengths(self, ids: Sequence[int], text: str) -> tuple[int, ...]:
        """How many characters of the text each token adds.

        Raises:
            AnswerError: If the tokens do not spell the text.
        """
        for token in ids:
            if token not in self.pieces:
                # Behind a letter: alone, a SentencePiece token would lose its leading blank.
                self.pieces[token] = decode(self.tokenizer, [*self.before, token])[1:]
        pieces = [self.pieces[token] for token in ids]
        blanks = 0  # tokens in front that spell nothing of the text
        while blanks < len(pieces) and not pieces[blanks].strip():
            blanks += 1
        if "".join(pieces).strip() == text and blanks < len(pieces):
            pieces[: blanks + 1] = [*[""] * blanks, pieces[blanks].lstrip()]
            return tuple(map(len, pieces))
        # Characters of several tokens.
        spelled = decode(self.tokenizer, ids).strip()
        if not ids or spelled != text:
            raise AnswerError(
                f"The tokenizer cannot write the answer {text!r}: its tokens decode to {spelled!r}.",
                remedy="Rename the label to plain characters, or use a model whose tokenizer knows them.",
            )
        return tuple(np.diff(_covered(self.tokenizer, ids, text), prepend=0).tolist())


def _refuse_alike(leaf: Integers, space: AnswerSpace) -> None:
    order = np.argsort(leaf, kind="stable")
    double = np.flatnonzero(np.diff(leaf[order]) == 0)
    if len(double):
        one, other = (space.texts[int(order[double[0] + step])] for step in (0, 1))
        raise AnswerError(
            f"The tokenizer writes the answers {one!r} and {other!r} with the same tokens.",
            remedy="Rename one of them.",
        )


def token_weights(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], text: str, characters: Sequence[float]
) -> tuple[float, ...]:
    """The largest weight among the characters that each token adds to the text."""
    return _largest(characters, np.diff(_covered(tokenizer, ids, text), prepend=0).tolist())


def _covered(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], text: str) -> list[int]:
    """How many characters of the text stand there once each token is written; never fewer than before."""
    covered = [0]
    for count in range(1, len(ids) + 1):
        covered.append(max(covered[-1], min(len(decode(tokenizer, ids[:count]).lstrip()), len(text))))
    return covered[1:]


def _largest(characters: Sequence[float], lengths: Sequence[int]) -> tuple[float, ...]:
    weights, covered = [], 0
    for length in lengths:
        # A token that completes no character of its own (half of a multi-byte one, a lone space mark) weighs 1.
        weights.append(max(characters[covered : covered + length], default=1.0))
        covered += length
    return tuple(weights)


def _grow(ids: NDArray[np.int32], terminator: int) -> dict[str, Any]:
    """Level by level: answers that share a node and their next token share the next node."""
    answers, longest = ids.shape
    lengths = (ids >= 0).sum(axis=1)
    at = np.zeros(answers, dtype=np.int64)  # the node that each answer has come to
    tokens, parents, depths = [np.array([-1])], [np.array([-1])], [np.array([0])]
    paths = np.zeros((answers, longest + 1), dtype=np.int32)
    nodes = 1
    for depth in range(1, longest + 2):
        going = np.flatnonzero(lengths >= depth)
        ended = np.flatnonzero(lengths == depth - 1)
        # Only an answer that others continue needs its terminator scored; elsewhere the leaf itself is the end.
        ended = ended[np.isin(at[ended], at[going])]
        moving = np.concatenate([going, ended])
        if not len(moving):
            break
        token = np.concatenate([ids[going, min(depth, longest) - 1], np.full(len(ended), terminator)]).astype(np.int64)
        _, first, group = np.unique(at[moving] << 32 | token, return_index=True, return_inverse=True)
        order = np.lexsort((first, at[moving][first]))
        number = np.empty(len(first), dtype=np.int64)
        number[order] = np.arange(nodes, nodes + len(first))
        tokens.append(token[first][order])
        parents.append(at[moving][first][order])
        depths.append(np.full(len(first), depth))
        at[moving] = number[group]
        if depth <= longest:
            paths[going, depth] = at[going]
        nodes += len(first)
    parent, child_count, first_child = np.concatenate(parents), np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
    has, start, count = np.unique(parent[1:], return_index=True, return_counts=True)
    first_child[has], child_count[has] = start + 1, count
    answer = np.full(nodes, -1, dtype=np.int64)
    answer[at] = np.arange(answers)
    return {
        "token": np.concatenate(tokens),
        "parent": parent,
        "depth": np.concatenate(depths),
        "first_child": first_child,
        "child_count": child_count,
        "answer": answer,
        "paths": paths,
        "leaf": at,
    }
