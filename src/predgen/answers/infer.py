"""Targets → the answer space that holds them, with the reason.

Of free numbers everything but the length of their solutions, which is the tokenizer's to say.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from predgen.answers.spaces import FreeNumber, LabelSet, NumberGrid, Space
from predgen.config import SpaceConfig, Task
from predgen.data.targets import decimals_of, is_number
from predgen.errors import AnswerError

GRID_POINTS = 256  # decimals are dropped until a grid has at most so many
MOST_ANSWERS = 2048  # more are not scored exactly in one pass


def infer_space(
    targets: Sequence[str] | Sequence[float], task: Task, settings: SpaceConfig, marker: str | None = None
) -> tuple[Space, str]:
    """Builds the space; what the settings fix is kept.

    Args:
        targets: All targets of the rows to be fitted on, at least one.
        task: Labels or numbers.
        settings: Fixed labels, kind, bounds, digits or decimals.
        marker: What stands before the number in worked solutions; None where targets are none.

    Returns:
        The space, and a line that says how it came about.

    Raises:
        AnswerError: If there is one class or one value only, a target does not fit fixed settings, or there would be
            too many answers.
    """
    if task == "classification":
        return _labels([str(target) for target in targets], settings)
    numbers = [float(target) for target in targets]
    if min(numbers) == max(numbers) and (settings.low is None or settings.high is None):
        raise AnswerError(
            f"All {len(numbers)} targets are {numbers[0]:g}.",
            "Numbers that can be learned vary.",
            "Check the target column, or set space.low and space.high.",
        )
    if marker is not None or settings.kind == "free":
        return _free(numbers, settings, marker, "")
    try:
        return _grid(numbers, settings)
    except _TooMany as problem:
        if settings.kind == "grid" or settings.low is not None or settings.high is not None:
            raise
        return _free(numbers, settings, None, f" ({problem.found.rstrip('.')}: too many to list)")


class _TooMany(AnswerError):
    """A grid would have more answers than can be listed."""


def fixed_settings(space: Space) -> dict[str, Any]:
    """The fields of `SpaceConfig` that give a space again, whatever the targets."""
    if isinstance(space, LabelSet):
        return {"labels": space.labels}
    if isinstance(space, NumberGrid):
        return {"kind": "grid", "low": space.low, "high": space.high, "decimals": space.decimals}
    return {"kind": "free", "digits": space.digits, "decimals": space.decimals}


def _labels(targets: Sequence[str], settings: SpaceConfig) -> tuple[LabelSet, str]:
    found = sorted(set(targets), key=lambda label: (float(label), "") if is_number(label) else (math.inf, label))
    space = LabelSet(settings.labels if settings.labels is not None else tuple(found), settings.ordered)
    if len(space.labels) > MOST_ANSWERS:
        raise AnswerError(f"There are {len(space.labels)} labels.", f"At most {MOST_ANSWERS} are possible.")
    _refuse_strangers(space.index, targets)
    counts = ", ".join(f"{label!r} ×{count}" for label, count in Counter(targets).most_common())
    order = f", in the order {', '.join(space.labels)}" if space.ordered else ""
    return space, f"Answers: {len(space.labels)} labels ({counts}){order}."


def _grid(targets: Sequence[float], settings: SpaceConfig) -> tuple[NumberGrid, str]:
    least, most = min(targets), max(targets)
    unit = 10.0 ** math.floor(math.log10(most - least)) if most > least else 1.0
    low = settings.low if settings.low is not None else math.floor(least / unit + 1e-9) * unit
    high = settings.high if settings.high is not None else math.ceil(most / unit - 1e-9) * unit
    seen = max(map(decimals_of, targets))
    # Rounded bounds need as many decimals as their unit has, whatever the grid's size.
    fewest = max(decimals_of(low), decimals_of(high))
    if settings.decimals is not None:
        decimals = settings.decimals
    else:
        decimals = max(seen, fewest)
        while decimals > fewest and (high - low) * 10**decimals + 1 > GRID_POINTS:
            decimals -= 1
    answers = round((high - low) * 10**decimals) + 1
    if answers > MOST_ANSWERS:
        raise _TooMany(
            f"Targets from {least:g} to {most:g} in steps of {10.0**-decimals:g} make {answers:,} answers.",
            f"At most {MOST_ANSWERS} are possible.",
            "Lower space.decimals, or set space.kind=free.",
        )
    space = NumberGrid(round(low, 9), round(high, 9), decimals)
    _refuse_strangers(space.index, targets)
    kept = "" if decimals >= seen else f"; {seen} decimals seen, {decimals} kept (space.decimals)"
    return space, (
        f"Answers: {len(space)} numbers from {space.texts[0]} to {space.texts[-1]} in steps of {space.step:g} "
        f"(targets run from {least:g} to {most:g}{kept})."
    )


def _free(targets: Sequence[float], settings: SpaceConfig, marker: str | None, why: str) -> tuple[FreeNumber, str]:
    largest = max(map(abs, targets))
    # One digit more than seen: new rows go a little further than old ones.
    digits = settings.digits or min(len(f"{largest:.0f}") + 1, 12)
    decimals = settings.decimals if settings.decimals is not None else min(max(map(decimals_of, targets)), 15 - digits)
    # What is longest in tokens is known only to a tokenizer: `with_solutions` fills it in.
    space = FreeNumber(digits, decimals, min(targets) < 0, marker, settings.solution_tokens or 0)
    _refuse_strangers(space.write, targets)
    signs = "" if space.negative else ", none below zero"
    solutions = f", behind a worked solution and {marker!r}" if marker is not None else ""
    return space, (
        f"Answers: any number of up to {digits} digits and {decimals} decimals{signs}{solutions}, written digit by "
        f"digit{why}; there is no distribution over them (space.kind)."
    )


def _refuse_strangers(place: Callable[[Any], object], targets: Sequence[str] | Sequence[float]) -> None:
    problems: list[tuple[int, AnswerError]] = []
    for row, target in enumerate(targets):
        try:
            place(target)
        except AnswerError as problem:
            problems.append((row, problem))
    if problems:
        row, first = problems[0]
        raise AnswerError(f"{len(problems)} of {len(targets)} targets do not belong to the space; row {row}: {first}")
