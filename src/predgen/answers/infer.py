"""Targets → the answer space that holds them, with the reason."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.config import SpaceConfig, Task
from predgen.data.targets import decimals_of, is_number
from predgen.errors import AnswerError

GRID_POINTS = 256  # decimals are dropped until a grid has at most so many
MOST_ANSWERS = 2048  # more are not scored exactly in one pass


def infer_space(
    targets: Sequence[str] | Sequence[float], task: Task, settings: SpaceConfig
) -> tuple[LabelSet | NumberGrid, str]:
    """Builds the space; what the settings fix is kept.

    Args:
        targets: All targets of the rows to be fitted on, at least one.
        task: Labels or numbers.
        settings: Fixed labels, bounds or decimals.

    Returns:
        The space, and a line that says how it came about.

    Raises:
        AnswerError: If there is one class or one value only, a target does not fit fixed settings, or there would be
            too many answers.
    """
    if task == "classification":
        return _labels([str(target) for target in targets], settings)
    return _grid([float(target) for target in targets], settings)


def _labels(targets: Sequence[str], settings: SpaceConfig) -> tuple[LabelSet, str]:
    found = sorted(set(targets), key=lambda label: (float(label), "") if is_number(label) else (math.inf, label))
    space = LabelSet(settings.labels if settings.labels is not None else tuple(found))
    if len(space.labels) > MOST_ANSWERS:
        raise AnswerError(f"There are {len(space.labels)} labels.", f"At most {MOST_ANSWERS} are possible.")
    _refuse_strangers(space, targets)
    counts = ", ".join(f"{label!r} ×{count}" for label, count in Counter(targets).most_common())
    return space, f"Answers: {len(space.labels)} labels ({counts})."


def _grid(targets: Sequence[float], settings: SpaceConfig) -> tuple[NumberGrid, str]:
    least, most = min(targets), max(targets)
    if least == most and (settings.low is None or settings.high is None):
        raise AnswerError(
            f"All {len(targets)} targets are {least:g}.",
            "Numbers that can be learned vary.",
            "Check the target column, or set space.low and space.high.",
        )
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
    space = NumberGrid(round(low, 9), round(high, 9), decimals)
    if len(space) > MOST_ANSWERS:
        raise AnswerError(
            f"Targets from {least:g} to {most:g} in steps of {space.step:g} make {len(space):,} answers.",
            f"At most {MOST_ANSWERS} are possible.",
            "Lower space.decimals, or divide the targets by a power of ten.",
        )
    _refuse_strangers(space, targets)
    kept = "" if decimals >= seen else f"; {seen} decimals seen, {decimals} kept (space.decimals)"
    return space, (
        f"Answers: {len(space)} numbers from {space.texts[0]} to {space.texts[-1]} in steps of {space.step:g} "
        f"(targets run from {least:g} to {most:g}{kept})."
    )


def _refuse_strangers(space: LabelSet | NumberGrid, targets: Sequence[str] | Sequence[float]) -> None:
    problems: list[tuple[int, AnswerError]] = []
    for row, target in enumerate(targets):
        try:
            space.index(target)
        except AnswerError as problem:
            problems.append((row, problem))
    if problems:
        row, first = problems[0]
        raise AnswerError(f"{len(problems)} of {len(targets)} targets do not belong to the space; row {row}: {first}")
