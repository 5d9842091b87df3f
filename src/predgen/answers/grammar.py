r"""Free numbers under a tokenizer: which token may follow which; no torch.

A finite automaton over tokens. Where solutions are written, its first states are text: any token may follow but the
terminator, and the state counts how much of the marker has just been written. Behind the marker, or from the start
where numbers stand alone, come the states of a number: an optional minus, digits without a leading zero, a point,
decimals. A tokenizer that merges digits takes several characters at a step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from predgen.answers.free_number import FreeNumber
from predgen.answers.places import place_weights
from predgen.answers.trie import token_weights
from predgen.data.tokens import answer_separator, decode, encode, ids_behind
from predgen.errors import AnswerError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class FreeAnswer(NamedTuple):
    """A gold answer."""

    value: float
    solution: str | None = None  # what is written before the marker, where there is one


@dataclass(frozen=True)
class AnswerGrammar:
    """The automaton, and gold answers as paths through it.

    Args:
        moves: Of each state, token id → next state. Text states have none here: see `after_text`.
        text_states: How many of the first states are text; the marker's tokens, or 0.
        marker: The marker's tokens, the line break before it included; empty where numbers stand alone.
        after_text: Of each text state, marker token → next text state, or the number's first state; any other token
            leads to state 0.
        known: How many tokens the tokenizer has; the model's vocabulary may be wider.
        barred: Tokens that cannot stand in a text: the terminator, and what else has a meaning of its own.
        pieces: Token id → the characters it adds to a number, of all tokens that can stand in one.
        terminator: The token that ends an answer.
        longest: Most tokens of an answer, terminator left out.
        solution_tokens: Most tokens before the marker.
        answers: Token ids of each gold answer, without the terminator.
        weights: One weight a token: the largest of its characters' place weights; 0 on solution and marker.
        paths: Of each gold answer the states before each token and the terminator.
    """

    moves: tuple[dict[int, int], ...]
    text_states: int
    marker: tuple[int, ...]
    after_text: tuple[dict[int, int], ...]
    known: int
    barred: frozenset[int]
    pieces: dict[int, str]
    terminator: int
    longest: int
    solution_tokens: int
    answers: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    paths: tuple[tuple[int, ...], ...]

    def follow(self, state: int, token: int) -> int:
        """The state behind a token, or -1 where the token may not stand there."""
        if state < self.text_states:
            may_stand = 0 <= token < self.known and token not in self.barred
            return self.after_text[state].get(token, 0) if may_stand else -1
        return self.moves[state].get(token, -1)


def build_grammar(
    space: FreeNumber, tokenizer: PreTrainedTokenizerBase, behind: str, gold: Sequence[FreeAnswer] = ()
) -> AnswerGrammar:
    """The automaton of a space under a tokenizer.

    Args:
        space: The numbers.
        tokenizer: The writer's tokenizer; needs an end-of-sequence token.
        behind: What the prompt ends with, as `Frame.behind` has it.
        gold: Answers that will be taught; none where they only are to be written.

    Raises:
        AnswerError: If the tokenizer cannot write numbers or the marker, or a gold answer does not belong to the space.
    """
    if tokenizer.eos_token_id is None:
        raise AnswerError("The tokenizer has no end-of-sequence token.", "Answers need one to end with.")
    terminator = int(tokenizer.eos_token_id)
    separator = answer_separator(behind)
    marker = tuple(ids_behind(tokenizer, "", "\n" + space.marker)) if space.marker is not None else ()
    if marker and decode(tokenizer, marker).strip() != space.marker:
        raise AnswerError(
            f"The tokenizer cannot write the marker {space.marker!r}: it decodes to {decode(tokenizer, marker)!r}.",
            remedy="Choose another one with space.marker, and write it so in the targets.",
        )
    pieces = number_pieces(tokenizer)
    moves = _number_moves(space, pieces, terminator, " " if marker else separator, first=len(marker))
    grammar = AnswerGrammar(
        moves=(*({} for _ in marker), *moves),
        text_states=len(marker),
        marker=marker,
        after_text=tuple(_after_text(marker, state) for state in range(len(marker))),
        known=len(tokenizer),
        # GPT-2's unknown token is its terminator as well.
        barred=frozenset({*tokenizer.all_special_ids} - {tokenizer.unk_token_id} | {terminator}),
        pieces=pieces,
        terminator=terminator,
        # A number at its longest: blank, minus, digits, point, decimals, a token each.
        longest=space.solution_tokens + len(marker) + space.digits + space.decimals + 3,
        solution_tokens=space.solution_tokens,
        answers=(),
        weights=(),
        paths=(),
    )
    return _with_gold(grammar, space, tokenizer, behind, gold)


def longest_solution(tokenizer: PreTrainedTokenizerBase, behind: str, solutions: Sequence[str]) -> int:
    """Tokens of the longest solution, as `build_grammar` writes them; at least 1."""
    separator = answer_separator(behind)
    return max([1, *(len(ids_behind(tokenizer, behind, separator + text)) for text in solutions if text)])


def number_pieces(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Token id → what it spells, of all tokens made of a blank in front, a minus, digits and a point."""
    before = encode(tokenizer, "x")
    pieces = {}
    for token, index in tokenizer.get_vocab().items():
        plain = token.replace("Ġ", " ").replace("▁", " ")
        if re.fullmatch(r" ?-?\d*\.?\d*", plain) and plain and plain.isascii():
            # Behind a letter: alone, a SentencePiece token would lose its leading blank.
            spelled = decode(tokenizer, [*before, index])[1:]
            if spelled == plain and index not in tokenizer.all_special_ids:
                pieces[int(index)] = plain
    return pieces


_State = tuple[str, int]  # where in a number, and how many digits so far
_COMPLETE = ("zero", "whole", "fraction")


def _number_moves(
    space: FreeNumber, pieces: dict[int, str], terminator: int, separator: str, first: int
) -> list[dict[int, int]]:
    """Moves of the number's states, numbered from `first`; the last one is the end."""
    start: _State = ("blank", 0) if separator else ("open", 0)
    names: dict[_State, int] = {start: first}
    found, moves = [start], list[dict[int, int]]()
    ends: list[dict[int, int]] = []
    for state in found:  # grows while it is walked
        ways = {}
        for token, piece in pieces.items():
            reached: _State | None = state
            for character in piece:
                reached = _behind(space, reached, character) if reached is not None else None
            if reached is None:
                continue
            if reached not in names:
                names[reached] = first + len(names)
                found.append(reached)
            ways[token] = names[reached]
        if state[0] in _COMPLETE:
            ends.append(ways)
        moves.append(ways)
    if not ends:
        raise AnswerError(
            "The tokenizer has no tokens that numbers could be written with.", remedy="Choose another base model."
        )
    for ways in ends:
        ways[terminator] = first + len(names)
    return [*moves, {}]


def _behind(space: FreeNumber, state: _State, character: str) -> _State | None:
    stage, count = state
    if character == " ":
        return ("open", 0) if stage == "blank" else None
    if character == "-":
        return ("minus", 0) if stage == "open" and space.negative else None
    if character == ".":
        return ("fraction to come", 0) if stage in ("zero", "whole") and space.decimals else None
    if stage in ("open", "minus"):
        return ("zero", 0) if character == "0" else ("whole", 1)
    if stage == "whole" and count < space.digits:
        return ("whole", count + 1)
    if stage in ("fraction to come", "fraction") and count < space.decimals:
        return ("fraction", count + 1)
    return None


def _after_text(marker: tuple[int, ...], state: int) -> dict[int, int]:
    """How much of the marker stands at the end once a token more is written, as Knuth, Morris and Pratt count."""
    ways = {}
    for token in set(marker):
        written = (*marker[:state], token)
        for length in range(len(written), 0, -1):
            if written[-length:] == marker[:length]:
                ways[token] = length  # the marker's whole length is the number's first state
                break
    return ways


def _with_gold(
    grammar: AnswerGrammar,
    space: FreeNumber,
    tokenizer: PreTrainedTokenizerBase,
    behind: str,
    gold: Sequence[FreeAnswer],
) -> AnswerGrammar:
    answers, weights, paths = [], [], []
    separator = answer_separator(behind)
    for row, answer in enumerate(gold):
        text = space.write(answer.value)
        if grammar.marker:
            solution = (answer.solution or "").strip()
            before = (*(ids_behind(tokenizer, behind, separator + solution) if solution else ()), *grammar.marker)
            number = tuple(ids_behind(tokenizer, space.marker or "", " " + text))
        else:
            before, number = (), tuple(ids_behind(tokenizer, behind, separator + text))
        ids = (*before, *number)
        path = [0]
        for place, token in enumerate((*ids, grammar.terminator)):
            reached = grammar.follow(path[-1], token)
            in_text = path[-1] < grammar.text_states
            if reached < 0 or (place < len(before)) != in_text:
                raise AnswerError(
                    f"Training answer {row} cannot be written: {(answer.solution or text)[-60:]!r}.",
                    f"The marker {space.marker!r} may stand in it once, right before the number."
                    if grammar.marker
                    else "This tokenizer writes its digits in a way that cannot be followed.",
                )
            path.append(reached)
        answers.append(ids)
        weights.append((*(0.0 for _ in before), *token_weights(tokenizer, number, text, place_weights(text))))
        paths.append(tuple(path[:-1]))
    return replace(grammar, answers=tuple(answers), weights=tuple(weights), paths=tuple(paths))
