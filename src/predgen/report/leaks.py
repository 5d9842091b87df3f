"""Texts that stand more than once: within the training rows, and across training, dev and judged rows."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Twins(NamedTuple):
    """Rows of a later part whose text an earlier one holds too."""

    earlier: str
    later: str
    rows: int  # of the later part
    alike: int  # among them, those that are the same but for case, blanks and punctuation
    examples: list[tuple[int, int, str]]  # row number in the later part, in the earlier one, text


class Repeats(NamedTuple):
    """Texts that stand several times within one part."""

    rows: int  # beyond the first of each text
    disagreeing: int  # texts whose rows have different targets
    examples: list[tuple[str, list[str]]]  # some of those, with their targets


def plain(text: str) -> str:
    """A text without what makes no difference to a reader: case, blanks, punctuation, width of characters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in folded).split()) or folded


def twins_of(parts: Mapping[str, tuple[Sequence[str], Sequence[int]]], examples: int = 5) -> list[Twins]:
    """Rows that parts share, every pair of parts.

    Args:
        parts: Name → texts and row numbers; earlier parts first.
        examples: So many are kept.
    """
    found = []
    names = list(parts)
    keys = {name: [plain(body) for body in bodies] for name, (bodies, _) in parts.items()}
    for position, later in enumerate(names):
        for earlier in names[:position]:
            first, verbatim = dict[str, int](), set(parts[earlier][0])
            for key, number in zip(keys[earlier], parts[earlier][1], strict=True):
                first.setdefault(key, number)
            shared = [
                (number, first[key], body)
                for key, body, number in zip(keys[later], *parts[later], strict=True)
                if key in first
            ]
            if shared:
                alike = sum(body not in verbatim for _, _, body in shared)
                found.append(Twins(earlier, later, len(shared), alike, shared[:examples]))
    return found


def repeats_of(bodies: Sequence[str], targets: Sequence[str], examples: int = 5) -> Repeats:
    """Texts that stand several times, and those of them whose rows do not agree.

    Args:
        bodies: N texts.
        targets: N targets, in words.
        examples: So many disagreements are kept.
    """
    groups = defaultdict[str, list[int]](list)
    for place, body in enumerate(bodies):
        groups[plain(body)].append(place)
    several = [places for places in groups.values() if len(places) > 1]
    conflicts = [
        (bodies[places[0]], sorted({targets[place] for place in places}))
        for places in several
        if len({targets[place] for place in places}) > 1
    ]
    return Repeats(sum(len(places) - 1 for places in several), len(conflicts), conflicts[:examples])
