"""Points: predicted against true, and residuals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from predgen.report.charts.canvas import Canvas, padded
from predgen.report.text import number


def scatter_chart(
    xs: Sequence[float],
    ys: Sequence[float],
    labels: tuple[str, str],
    title: str,
    description: str,
    square: bool = False,
    ends: tuple[Sequence[float], Sequence[float]] | None = None,
    running_mean: bool = False,
) -> Markup:
    """Points, with a line of reference: x = y on square axes, else y = 0.

    Args:
        xs: N numbers.
        ys: N numbers.
        labels: Of the axes.
        title: What it is.
        description: What it shows, in words.
        square: Whether both axes have one range.
        ends: Lower and upper ends of an interval of each point.
        running_mean: Whether to draw the mean of neighbouring points.
    """
    x_range, y_range = padded(xs, 0.04), padded([*ys, *([] if square else [0.0])], 0.04)
    if square:
        x_range = y_range = padded([*xs, *ys], 0.03)
    canvas = Canvas(x_range, y_range, height=320.0)
    canvas.y_axis(labels[1])
    canvas.x_axis(labels[0])
    if ends is not None:
        for x, low, high in zip(xs, *ends, strict=True):
            low, high = (min(max(end, y_range[0]), y_range[1]) for end in (low, high))
            canvas.line(canvas.x(x), canvas.y(low), canvas.x(x), canvas.y(high), "span")
    if square:
        low, high = x_range
        canvas.line(canvas.x(low), canvas.y(low), canvas.x(high), canvas.y(high), "reference")
    else:
        canvas.line(canvas.left, canvas.y(0), canvas.width - canvas.right, canvas.y(0), "reference")
    for x, y in zip(xs, ys, strict=True):
        canvas.dot(canvas.x(x), canvas.y(y), 2.6, "point s1", f"{number(x)}, {number(y)}")
    window = max(5, len(xs) // 12)
    if running_mean and len(xs) >= 2 * window:
        order, kernel = np.argsort(xs, kind="stable"), np.ones(window) / window
        across, along = (np.convolve(np.asarray(column)[order], kernel, "valid").tolist() for column in (xs, ys))
        canvas.path(across, along, "line s2 plain")
    return canvas.svg(title, description)
