"""Which stretches of a text are left out, where leaving out each word alone would cost more than is to be spent.

The text is cut into a few pieces. The piece whose absence changes the answer most is cut in two, and again, until the
budget is spent. What comes out are pieces that make up the text, single words where the answer depends on them, each
with what the answer loses without that very piece: nothing is estimated, and nothing is handed down to a piece's words.
What it can miss: words of one piece that undo each other, so that the piece as a whole changes little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from predgen.information.answers import A_PASS, Floats, Occlusion, Said, divergences, together
from predgen.information.words import Word

Piece = tuple[int, int]  # the first word, and the one behind the last
_MARKS = ".,;:!?…)\n"
_FIRST_CUTS = 0.5  # share of what can be spent that goes into the first pieces


class LeftOut(NamedTuple):
    """What was left out, in the order of the text, and what was said without it."""

    pieces: list[Piece]
    said: Said  # of 1 + pieces variants, the whole prompt first
    spent: float  # plain predictions, counted in tokens and passes
    exact: float  # what every word alone would take


def leave_out(occlusion: Occlusion, words: Sequence[Word], budget: float) -> LeftOut:
    """Leaves out every word, or coarser pieces where that is too much.

    Args:
        occlusion: Of the prompt.
        words: Of the text, at least two.
        budget: Most plain predictions, counted in tokens and passes; infinite: every word alone. Two pieces are left
            out whatever it is.
    """
    plain = occlusion.plain

    def cost(piece: Piece) -> int:
        return occlusion.cost(_stretch(words, piece))

    each = [(place, place + 1) for place in range(len(words))]
    exact = 1 + (A_PASS + sum(map(cost, each))) / plain
    if exact <= budget:
        return _taken(occlusion, words, dict.fromkeys(each), exact)
    to_spend = (budget - 1) * plain - A_PASS
    # The first pieces: the longest is cut as long as all of them stay within their share.
    pieces: list[Piece] = list(_halves(words, (0, len(words))))
    while True:
        longest = max(pieces, key=lambda piece: piece[1] - piece[0])
        finer = [*(piece for piece in pieces if piece != longest), *_halves(words, longest)]
        if sum(map(cost, finer)) > _FIRST_CUTS * to_spend:
            break
        pieces = finer
    found: dict[Piece, Said] = dict(zip(pieces, _answers(occlusion, words, pieces), strict=True))
    to_spend -= sum(map(cost, pieces))
    while True:
        for piece in sorted(found, key=lambda piece: -_change(occlusion.whole, found[piece])):
            if piece[1] - piece[0] == 1:
                continue
            halves = _halves(words, piece)
            if (price := A_PASS + sum(map(cost, halves))) <= to_spend:
                to_spend -= price
                del found[piece]
                found.update(zip(halves, _answers(occlusion, words, halves), strict=True))
                break
        else:
            return _taken(occlusion, words, found, exact)


def _taken(
    occlusion: Occlusion, words: Sequence[Word], found: dict[Piece, Said] | dict[Piece, None], exact: float
) -> LeftOut:
    pieces = sorted(found)
    known = [found[piece] for piece in pieces]
    parts = [part for part in known if part is not None] or _answers(occlusion, words, pieces)
    return LeftOut(pieces, together([occlusion.whole, *parts]), occlusion.tokens / occlusion.plain, exact)


def _answers(occlusion: Occlusion, words: Sequence[Word], pieces: Sequence[Piece]) -> list[Said]:
    said = occlusion.without([_stretch(words, piece) for piece in pieces])
    return [Said(*(None if part is None else part[place : place + 1] for part in said)) for place in range(len(pieces))]


def _stretch(words: Sequence[Word], piece: Piece) -> tuple[int, int]:
    return words[piece[0]].start, words[piece[1] - 1].stop


def _halves(words: Sequence[Word], piece: Piece) -> tuple[Piece, Piece]:
    """Cut behind the mark that is nearest to the middle, if one is near; else in the middle."""
    start, stop = piece
    middle, reach = (start + stop) / 2, (stop - start) / 4
    marks = [
        place + 1
        for place in range(start, stop - 1)
        if words[place].text.strip()[-1:] in _MARKS and abs(place + 1 - middle) <= reach
    ]
    cut = min(marks, key=lambda place: abs(place - middle)) if marks else math.floor(middle)
    return (start, cut), (cut, stop)


def _change(whole: Said, other: Said) -> float:
    """How much an answer is another one: the divergence, or a head's number's distance."""
    if whole.log_probs is not None and other.log_probs is not None:
        return divergences(whole.log_probs, other.log_probs)[0]
    assert whole.value is not None and other.value is not None
    moved: Floats = np.abs(other.value - whole.value)
    return float(moved[0])
