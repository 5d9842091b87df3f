"""Lines over a common axis: learning curves, reliability, accuracy against the share answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from predgen.report.charts.canvas import Canvas, mark_of, padded
from predgen.report.text import number


@dataclass(frozen=True)
class Line:
    """One line.

    Args:
        name: For the legend and tips.
        xs: Ascending.
        ys: As many.
        low: Lower ends of an interval around each point, if there is one.
        high: Upper ends.
        dots: Whether points are marked.
        sizes: Their radii, if they differ.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    dots: bool = False
    sizes: Sequence[float] | None = None


def line_chart(
    lines: Sequence[Line],
    labels: tuple[str, str],
    title: str,
    description: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    diagonal: bool = False,
    ring: tuple[float, float] | None = None,
    level: float | None = None,
) -> Markup:
    """Lines.

    Args:
        lines: At least one with a point.
        labels: Of the horizontal and the vertical axis.
        title: What it is.
        description: What it shows, in words.
        x_range: Of the horizontal axis; all points by default.
        y_range: Of the vertical axis; all points by default.
        diagonal: Whether to draw x = y.
        ring: A point to point out.
        level: A height to draw a line of reference at.
    """
    xs = [x for line in lines for x in line.xs]
    ys = [y for line in lines for part in (line.ys, line.low or (), line.high or ()) for y in part]
    ys += [level] if level is not None else []
    canvas = Canvas(x_range or padded(xs, 0.02), y_range or padded(ys))
    canvas.y_axis(labels[1])
    canvas.x_axis(labels[0])
    if diagonal:
        canvas.line(
            canvas.x(canvas.x_range[0]), canvas.y(canvas.y_range[0]),
            canvas.x(canvas.x_range[1]), canvas.y(canvas.y_range[1]), "reference",
        )  # fmt: skip
    if level is not None:
        canvas.line(canvas.left, canvas.y(level), canvas.width - canvas.right, canvas.y(level), "reference")
    for place, line in enumerate(lines):
        if line.low is not None and line.high is not None:
            canvas.band(line.xs, line.low, line.high, f"band {mark_of(place)}")
    for place, line in enumerate(lines):
        canvas.path(line.xs, line.ys, f"line {mark_of(place)}")
        if line.dots or len(line.xs) == 1:
            for point, (x, y) in enumerate(zip(line.xs, line.ys, strict=True)):
                tip = f"{line.name}: {number(x)}, {number(y)}" if line.name else f"{number(x)}, {number(y)}"
                radius = line.sizes[point] if line.sizes else 3.0
                canvas.dot(canvas.x(x), canvas.y(y), radius, f"dot {mark_of(place)}", tip)
    if ring is not None:
        canvas.dot(canvas.x(ring[0]), canvas.y(ring[1]), 7, "ring")
    return canvas.svg(title, description)
