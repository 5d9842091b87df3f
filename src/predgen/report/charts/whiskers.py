"""Values with their intervals, below one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from predgen.report.charts.canvas import Canvas, nice_ticks, padded, text_width
from predgen.report.text import fixed, short


@dataclass(frozen=True)
class Whisker:
    """One value.

    Args:
        name: What it is of.
        value: A number.
        low: Lower end of its interval.
        high: Upper end.
        weak: Whether it rests on too few rows to lean on.
        mark: Its series' class.
        group: Starts a new group under this heading, if given.
    """

    name: str
    value: float
    low: float
    high: float
    weak: bool = False
    mark: str = "s1"
    group: str = ""


def whisker_chart(
    whiskers: Sequence[Whisker], label: str, title: str, description: str, level: float | None = None
) -> Markup:
    """A dot and a line a value.

    Args:
        whiskers: At least one.
        label: Of the horizontal axis.
        title: What it is.
        description: What it shows, in words.
        level: A value to draw a line of reference at, such as that of all rows.
    """
    names = [short(each.name, 24) for each in whiskers]
    left = min(165.0, max(60.0, text_width(names) + 14))
    ends = [end for each in whiskers for end in (each.low, each.high, each.value)]
    groups = sum(bool(each.group) for each in whiskers)
    height = 24.0 * len(whiskers) + 20.0 * groups + 54
    canvas = Canvas(padded([*ends, *([level] if level is not None else [])]), (0, 1), height=height, left=left)
    for tick in (ticks := nice_ticks(*canvas.x_range, most=5)):
        canvas.line(canvas.x(tick), canvas.top, canvas.x(tick), height - canvas.bottom, "grid")
    if level is not None:
        canvas.line(canvas.x(level), canvas.top, canvas.x(level), height - canvas.bottom, "reference")
    y = canvas.top + 14
    for each, name in zip(whiskers, names, strict=True):
        if each.group:
            canvas.text(4, y + 4, each.group, "group")
            y += 20
        faint = " weak" if each.weak else ""
        canvas.text(left - 8, y + 3.6, name, f"name{faint}", "end")
        tip = f"{short(each.name, 60)}: {fixed(each.value)}, {fixed(each.low)} to {fixed(each.high)}"
        canvas.line(canvas.x(each.low), y, canvas.x(each.high), y, f"whisker {each.mark}{faint}")
        canvas.dot(canvas.x(each.value), y, 4.5, f"dot {each.mark}{faint}", tip)
        y += 24
    canvas.x_axis(label, ticks)
    return canvas.svg(title, description)
