"""Targets → the answer space that holds them, with the reason.

Of free numbers everything but the length of their solutions, which is the tokenizer's to say.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from predgen.answers.spaces import FreeNumber, LabelSet, LogGrid, NumberGrid, Space
from predgen.config import SpaceConfig, Task
from predgen.data.targets import decimals_of, is_number
from predgen.errors import AnswerError

_NAMED = 20  # labels whose counts are said
GRID_POINTS = 256  # decimals are dropped until a grid has at most so many
MOST_LISTED = 10_000  # numbers that are listed without being asked to; space.kind=grid lists more
MOST_NUMBERS = 1_000_000
MOST_LABELS = 20_000
_DIGITS = 3  # most significant digits that a log grid keeps by itself


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
    if settings.scale == "log":
        if marker is not None or settings.kind == "free":
            raise AnswerError(
                "space.scale=log is for numbers that are listed.",
                remedy="Leave space.kind at auto, or scale at linear.",
            )
        return _log_grid(numbers, settings)
    if marker is not None or settings.kind == "free":
        return _free(numbers, settings, marker, "")
    try:
        return _grid(numbers, settings)
    except _TooMany as problem:
        if settings.kind == "grid" or settings.low is not None or settings.high is not None:
            raise
        return _free(numbers, settings, None, f" ({problem.found.rstrip('.')}: too many to list unasked)")


class _TooMany(AnswerError):
    """A grid would have more answers than can be listed."""


def fixed_settings(space: Space) -> dict[str, Any]:
    """The fields of `SpaceConfig` that give a space again, whatever the targets."""
    if isinstance(space, LabelSet):
        return {"labels": space.labels}
    if isinstance(space, LogGrid):
        bounds = {"low": space.low, "high": space.high, "smallest": space.smallest}
        return {"kind": "grid", "scale": "log", **bounds, "digits": space.digits}
    if isinstance(space, NumberGrid):
        return {"kind": "grid", "low": space.low, "high": space.high, "decimals": space.decimals}
    return {"kind": "free", "digits": space.digits, "decimals": space.decimals}


def _labels(targets: Sequence[str], settings: SpaceConfig) -> tuple[LabelSet, str]:
    found = sorted(set(targets), key=lambda label: (float(label) if is_number(label) else math.inf, label))
    space = LabelSet(settings.labels if settings.labels is not None else tuple(found), settings.ordered)
    if len(space.labels) > MOST_LABELS:
        raise AnswerError(f"There are {len(space.labels)} labels.", f"At most {MOST_LABELS} are possible.")
    _refuse_strangers(space.index, targets)
    counts = ", ".join(f"{label!r} ×{count}" for label, count in Counter(targets).most_common(_NAMED))
    counts += ", …" * (len(set(targets)) > _NAMED)
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
        while not settings.strict and decimals > fewest and (high - low) * 10**decimals + 1 > GRID_POINTS:
            decimals -= 1
    answers = round((high - low) * 10**decimals) + 1
    asked = settings.kind == "grid" or settings.low is not None or settings.high is not None
    limit = MOST_NUMBERS if asked else MOST_LISTED
    if answers > limit:
        raise _TooMany(
            f"Targets from {least:g} to {most:g} in steps of {10.0**-decimals:g} make {answers:,} answers.",
            f"At most {limit:,} are possible.",
            "Lower space.decimals, or set space.scale=log or space.kind=free.",
        )
    space = NumberGrid(round(low, 9), round(high, 9), decimals)
    _refuse_strangers(space.index, targets)
    kept = "" if decimals >= seen else f"; {seen} decimals seen, {decimals} kept (space.decimals)"
    return space, (
        f"Answers: {len(space)} numbers from {space.texts[0]} to {space.texts[-1]} in steps of {space.step:g} "
        f"(targets run from {least:g} to {most:g}{kept})."
    )


def _log_grid(targets: Sequence[float], settings: SpaceConfig) -> tuple[LogGrid, str]:
    least, most = min(targets), max(targets)
    if max(most, settings.high or 0.0) <= 0:
        raise AnswerError(
            f"The targets run from {least:g} to {most:g}.", "A log grid reaches above 0.", "Predict their negatives."
        )
    seen = max(map(_significant, targets))
    digits = settings.digits or (seen if settings.strict else min(seen, _DIGITS))
    magnitudes = [abs(target) for target in targets if target]
    # The outermost decades are whole, so that new rows may go a little further than old ones.
    smallest = settings.smallest or (settings.low if settings.low and settings.low > 0 else _decade(min(magnitudes)))
    high = settings.high if settings.high is not None else _largest(most, digits)
    low = settings.low
    if low is None:
        low = -_largest(-least, digits) if least < 0 else 0.0 if least == 0 else smallest
    space = LogGrid(low, high, smallest, digits)
    _refuse_strangers(space.index, targets)
    kept = "" if digits >= seen else f"; {seen} significant digits seen, {digits} kept (space.digits)"
    return space, (
        f"Answers: {len(space):,} numbers from {space.low:g} to {space.high:g} with {digits} significant digits, "
        f"magnitudes from {space.smallest:g}, written as {space.text(len(space) - 1)!r} (targets run from {least:g} to "
        f"{most:g}{kept})."
    )


def _significant(value: float, most: int = 6) -> int:
    """Digits that a number needs from its first one on that is not 0, at most so many."""
    for digits in range(1, most):
        if math.isclose(value, float(f"{value:.{digits - 1}e}"), rel_tol=1e-9):
            return digits
    return most


def _decade(magnitude: float) -> float:
    return float(f"1e{math.floor(math.log10(magnitude) + 1e-12)}")


def _largest(magnitude: float, digits: int) -> float:
    """The largest number of so many digits with the magnitude's exponent, as rounding leaves it."""
    exponent = f"{magnitude:.{digits - 1}e}".partition("e")[2]
    return float(f"{10 - 10.0 ** (1 - digits):.{digits - 1}f}e{exponent}")


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
        f"digit{why}; there is no distribution over them unless answers are drawn (space.kind, predict --samples)."
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
