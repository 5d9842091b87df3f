"""A confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from predgen.report.charts.canvas import Canvas, text_width
from predgen.report.text import percent, short


def confusion_chart(labels: Sequence[str], counts: NDArray[np.int64], title: str, description: str) -> Markup:
    """Counts in each cell, shaded by the share of the true label's rows.

    Args:
        labels: K, in the order of the axes.
        counts: (K, K), true by predicted.
        title: What it is.
        description: What it shows, in words.
    """
    size = len(labels)
    names = [short(label, 16) for label in labels]
    left = min(118.0, text_width(names) + 30)
    cell = (360.0 - left - 12) / size
    high = min(cell, 62.0)
    slanted = text_width(names) > cell - 4
    top = 22.0 + (min(80.0, text_width(names) * 0.72) if slanted else 12.0)
    canvas = Canvas((0, size), (0, size), height=top + high * size + 8, left=left, top=top, bottom=8)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    canvas.text(left + cell * size / 2, 11, "predicted", "label", "middle")
    canvas.text(11, top + high * size / 2, "true", "label", "middle", -90)
    for place, name in enumerate(names):
        x = left + (place + 0.5) * cell
        canvas.text(x, top - 7, name, "name", "start" if slanted else "middle", -40 if slanted else 0)
        canvas.text(left - 7, top + (place + 0.5) * high + 3.6, name, "name", "end")
    for row, column in np.ndindex(counts.shape):
        share, number = float(shares[row, column]), int(counts[row, column])
        x, y = left + column * cell, top + row * high
        tip = f"{short(labels[row], 60)} → {short(labels[column], 60)}: {number} ({percent(share)})"
        kind = "right" if row == column else "wrong"
        canvas.rect(x + 1, y + 1, cell - 2, high - 2, f"cell {kind}", tip, f"--share:{share:.3f}")
        if cell >= 22 and (number or size <= 6):
            mark = "count strong" if share > 0.55 else "count"
            middle = y + high / 2 + 4
            two_lines = size <= 6 and high >= 34
            canvas.text(x + cell / 2, middle - (6 if two_lines else 0), f"{number:,}", mark, "middle")
            if two_lines:
                canvas.text(x + cell / 2, middle + 9, percent(share), f"{mark} small", "middle")
    return canvas.svg(title, description)
