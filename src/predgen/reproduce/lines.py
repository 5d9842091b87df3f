"""What tables are made of: numbers with what is known of them, lines of numbers, and blocks of lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from predgen.metrics import METRICS

# A row's mark: the best of its comparison, not told apart from it, behind it, or not compared.
Mark = Literal["best", "noise", "behind", ""]
PERCENT = ("accuracy", "exact_match")


@dataclass(frozen=True)
class Shown:
    """A number of a line.

    Args:
        value: As a share, or in the target's units.
        spread: Over seeds.
        mark: Of the metric that is judged.
        flag: What is wrong with a printed number.
        reason: The same in words.
    """

    value: float
    spread: float | None = None
    mark: Mark = ""
    flag: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a block.

    Args:
        kind: Whose it is.
        title: Of the method, constant, printed row or system.
        model: The base model; "" where there is none.
        peft: The PEFT method; "" likewise.
        decision: What the numbers were read under; "" likewise.
        seeds: How many of them; 0 likewise.
        values: Metric → number.
        source: Where a number that is not ours is from.
    """

    kind: Literal["ours", "constant", "paper", "published"]
    title: str
    values: Mapping[str, Shown]
    model: str = ""
    peft: str = ""
    decision: str = ""
    seeds: int = 0
    source: str = ""


@dataclass(frozen=True)
class Block:
    """One task at one scale.

    Args:
        title: The task in words.
        task: By its name.
        split: Whose rows were scored.
        scale: Of the cells.
        rows: How many were scored.
        metrics: Shown, in order.
        judged: The one that dev selects by, or the first of those shown.
        lines: Ours first.
        by_decision: Method's title → decision → the judged metric, so that methods are compared under the same one.
        notes: What a reader should know.
    """

    title: str
    task: str
    split: str
    scale: str
    rows: int
    metrics: tuple[str, ...]
    judged: str
    lines: Sequence[Line]
    by_decision: Mapping[str, Mapping[str, Shown]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def direction(metric: str) -> str:
    """An arrow that says which way is better."""
    return "↑" if METRICS[metric].greater_is_better else "↓"
