"""What may be wrong with rows that can all be read: doubles across splits, targets that no answer stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from predgen.answers.spaces import FreeNumber, Grid, LabelSet, Space
from predgen.errors import AnswerError, DataError, nearest

_BLANKS = re.compile(r"\s+")
_BEFORE_MARK = re.compile(r"\s+([.,;:?!])")
_NUMBER = re.compile(r"\d[\d.,]*")
_NAMED = 5  # rows that a message names; the others are counted


def duplicates_across(parts: Mapping[str, tuple[Sequence[str], Sequence[int]]]) -> list[str]:
    """Rows of a later part whose text an earlier part holds too; what is learned there is not forgotten here.

    Args:
        parts: Part name → its rendered bodies and their row numbers; the training part first.

    Returns:
        A line a pair of parts that share rows.
    """
    lines = []
    names = list(parts)
    for position, later in enumerate(names):
        for earlier in names[:position]:
            first = dict[str, int]()
            for body, number in zip(*parts[earlier], strict=True):
                first.setdefault(body, number)
            shared = [(number, first[body]) for body, number in zip(*parts[later], strict=True) if body in first]
            if shared:
                pairs = ", ".join(f"{number} = {other}" for number, other in shared[:_NAMED])
                more = ", …" * (len(shared) > _NAMED)
                lines.append(
                    f"{len(shared)} of {len(parts[later][1])} {later} rows have the very text of a {earlier} row "
                    f"(row numbers {pairs}{more}); scores on them are optimistic."
                )
    return lines


def overlap(train: Iterable[str], other: Sequence[str], numbers: bool = True) -> int:
    """How many texts occur among the training texts too; case, blanks and blanks before a mark aside.

    Args:
        train: Of the training rows.
        other: Of the rows in question.
        numbers: Whether texts that differ in their numbers alone count as different.
    """
    seen = {_plain(text, numbers) for text in train}
    return sum(_plain(text, numbers) in seen for text in other)


def overlaps(train: Sequence[str], parts: Mapping[str, Sequence[str]]) -> str:
    """A line that says, even of none, how many questions of each part are training questions too.

    Args:
        train: The training rows' questions.
        parts: Part name → its questions.
    """
    counts = [
        f"{overlap(train, texts)} of {len(texts)} {name} rows ({overlap(train, texts, numbers=False)} but for numbers)"
        for name, texts in parts.items()
        if texts
    ]
    return f"Questions that are training questions too: {', '.join(counts)}."


def _plain(text: str, numbers: bool) -> str:
    text = _BEFORE_MARK.sub(r"\1", _BLANKS.sub(" ", text.casefold().strip()))
    return text if numbers else _NUMBER.sub("#", text)


def strange_targets(space: Space, targets: Sequence[str] | Sequence[float], numbers: Sequence[int], part: str) -> str:
    """Says which targets of a part that is not trained on have no answer of their own.

    Args:
        space: The answers.
        targets: N targets.
        numbers: Their row numbers.
        part: "dev" or "test".

    Returns:
        A line to be shown; empty where all have one. A number outside the grid is scored against as it is.

    Raises:
        DataError: If a label is unknown: there is no score for it.
    """
    strange = []
    for target, number in zip(targets, numbers, strict=True):
        try:
            space.write(float(str(target))) if isinstance(space, FreeNumber) else space.index(target)
        except AnswerError:
            strange.append((number, target))
    if not strange:
        return ""
    named = ", ".join(f"row {number}: {target!r}" for number, target in strange[:_NAMED]) + ", …" * (
        len(strange) > _NAMED
    )
    if isinstance(space, LabelSet):
        raise DataError(
            f"{len(strange)} {part} rows have a label that the training rows lack ({named}):",
            nearest(str(strange[0][1]), space.labels),
            "Leave these rows out, or name all labels in space.labels.",
        )
    where = f"the grid from {space.low:g} to {space.high:g}" if isinstance(space, Grid) else "what can be written"
    return (
        f"{len(strange)} {part} rows have targets outside {where} ({named}): "
        "they count in every score, and can never be predicted exactly."
    )


def rounded_targets(
    space: Space, targets: Sequence[str] | Sequence[float], numbers: Sequence[int], part: str, strict: bool
) -> str:
    """Says how many targets lie between the numbers that can be written, and how far off.

    Args:
        space: The answers.
        targets: N targets.
        numbers: Their row numbers.
        part: "training", "dev" or "test".
        strict: Whether to refuse them.

    Returns:
        A line to be shown; empty where there are none. Training takes the nearest number there is in their place; every
        score compares with the target as it is.

    Raises:
        DataError: If there are some, and it is strict.
    """
    if isinstance(space, LabelSet):
        return ""
    off = []
    for target, number in zip(targets, numbers, strict=True):
        value = float(str(target))
        try:
            near = float(space.write(value)) if isinstance(space, FreeNumber) else space.numbers[space.index(value)]
        except AnswerError:
            continue  # outside; `strange_targets` says so
        if abs(near - value) > 1e-9 * max(1.0, abs(value)):
            off.append((number, target, float(abs(near - value))))
    if not off:
        return ""
    named = ", ".join(f"row {number}: {target!r}" for number, target, _ in off[:_NAMED]) + ", …" * (len(off) > _NAMED)
    found = f"{len(off)} of {len(targets)} {part} targets lie between the numbers that can be written ({named})"
    if strict:
        raise DataError(f"{found}.", "space.strict is set.", "Raise space.decimals or space.digits, or round them.")
    furthest = max(distance for _, _, distance in off)
    return f"{found}: the nearest stands for each, at most {furthest:.3g} off. (space.decimals, space.strict)"


def unseen_labels(trained: Sequence[str], other: Sequence[str], part: str) -> str:
    """Says which labels a part holds of which there is no training row; empty where there are none."""
    unseen = sorted(set(other) - set(trained))
    if not unseen:
        return ""
    rows = sum(label in unseen for label in other)
    return f"{rows} {part} rows have a label without a single training row: {', '.join(map(repr, unseen[:_NAMED]))}."
