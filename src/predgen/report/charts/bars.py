"""Bars: how often each label, and how many values in each stretch."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from predgen.report.charts.canvas import Canvas, mark_of, nice_ticks, text_width
from predgen.report.text import percent, short


def bar_chart(
    names: Sequence[str], series: Sequence[tuple[str, Sequence[float]]], title: str, description: str
) -> Markup:
    """Shares of each name, a bar a series, names below one another.

    Args:
        names: K of them.
        series: Name and K shares each.
        title: What it is.
        description: What it shows, in words.
    """
    labels = [short(name, 20) for name in names]
    thick = 11.0 if len(series) > 1 else 15.0
    block = thick * len(series) + 9
    left = min(150.0, text_width(labels) + 16)
    largest = max((value for _, values in series for value in values), default=1.0) or 1.0
    canvas = Canvas((0, largest * 1.14), (0, 1), height=block * len(names) + 46, left=left)
    ticks = nice_ticks(0, largest, 5)
    for tick in ticks:
        canvas.line(canvas.x(tick), canvas.top, canvas.x(tick), canvas.height - canvas.bottom, "grid")
    canvas.x_axis("share of the rows", ticks, [percent(tick, 0 if largest > 0.05 else 1) for tick in ticks])
    for row, label in enumerate(labels):
        top = canvas.top + row * block + 3
        canvas.text(left - 8, top + thick * len(series) / 2 + 3.6, label, "name", "end")
        for place, (name, values) in enumerate(series):
            y, value = top + place * thick, values[row]
            tip = f"{name}, {short(names[row], 60)}: {percent(value, 1)}"
            canvas.rect(left, y, canvas.x(value) - left, thick - 1.5, f"bar {mark_of(place)}", tip)
            canvas.text(canvas.x(value) + 4, y + thick / 2 + 2.8, percent(value), "value")
    return canvas.svg(title, description)


def histogram(
    edges: Sequence[float],
    series: Sequence[tuple[str, Sequence[float]]],
    label: str,
    title: str,
    description: str,
) -> Markup:
    """Shares of each stretch, a bar a series.

    Args:
        edges: K + 1 of them, ascending.
        series: Name and K shares each.
        label: Of the horizontal axis.
        title: What it is.
        description: What it shows, in words.
    """
    largest = max((value for _, values in series for value in values), default=1.0) or 1.0
    canvas = Canvas((edges[0], edges[-1]), (0, largest * 1.05), height=210.0)
    ticks = nice_ticks(0, largest, 5)
    canvas.y_axis("share of the rows", ticks, [percent(tick, 0 if largest > 0.05 else 1) for tick in ticks])
    for place, (name, values) in enumerate(series):
        for bin_, value in enumerate(values):
            start, stop = canvas.x(edges[bin_]), canvas.x(edges[bin_ + 1])
            wide = (stop - start - 2) / len(series)
            tip = f"{name}, {edges[bin_]:g} to {edges[bin_ + 1]:g}: {percent(value, 1)}"
            top = canvas.y(value)
            if value > 0:
                canvas.rect(start + 1 + place * wide, top, wide, canvas.y(0) - top, f"bar {mark_of(place)}", tip)
    canvas.x_axis(label)
    return canvas.svg(title, description)
