"""Tokens → words: what a reader points at is no sub-word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from predgen.data.tokens import decode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Word:
    """Some neighbouring tokens of a prompt.

    Args:
        text: What they spell, blanks around it included.
        start: Position of the first.
        stop: Position behind the last.
    """

    text: str
    start: int
    stop: int


def words_of(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], start: int, stop: int) -> list[Word]:
    """Merges the tokens of a stretch into words, punctuation apart; together they spell the stretch.

    A token that spells only a part of a character goes with the ones that complete it.

    Args:
        tokenizer: The writer's tokenizer.
        ids: A prompt.
        start: Where the stretch begins.
        stop: Where it ends.
    """
    words: list[Word] = []
    spelled = ""
    waiting = start  # the first token whose characters are not complete yet
    for place in range(start, stop):
        whole = decode(tokenizer, ids[start : place + 1])
        if whole.endswith("�") and place + 1 < stop:
            continue
        piece, spelled = whole[len(spelled) :], whole
        if words and not _begins_word(words[-1].text, piece):
            last = words[-1]
            words[-1] = Word(last.text + piece, last.start, place + 1)
        else:
            words.append(Word(piece, waiting, place + 1))
        waiting = place + 1
    return words


def _begins_word(before: str, piece: str) -> bool:
    if not piece:
        return False
    if piece[0].isspace() or before[-1:].isspace():
        # Blanks alone belong to the word behind them.
        return bool(before.strip())
    inner = "'’-_"
    left, right = before[-1:], piece[0]
    if left in inner and before.strip(inner + " \n") == "":
        return not right.isalnum()
    return _kind(left) != _kind(right) and left not in inner and right not in inner


def _kind(character: str) -> str:
    return "word" if character.isalnum() else "mark"
