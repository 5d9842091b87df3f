"""A block as a picture: our methods as points with their spread, constants and printed numbers as lines beside them."""

from __future__ import annotations

import base64
import io
import math

from predgen.figures import BLACK, BLUE, GREEN, ORANGE, RED, _dress, _figure
from predgen.metrics import METRICS
from predgen.reproduce.lines import Block, Line, direction

_MOST_LINES = 24
_COLOURS = {"ours": BLUE, "constant": BLACK, "paper": ORANGE, "published": GREEN}


def picture(block: Block) -> str:
    """A PNG of the judged metric, as a data URI; "" where there is nothing to draw."""
    metric = block.judged
    lines = [line for line in block.lines if metric in line.values and math.isfinite(line.values[metric].value)]
    lines = lines[:_MOST_LINES]
    if not lines:
        return ""
    figure = _figure(7.2, 1.0 + 0.27 * len(lines))
    axes = figure.add_subplot()
    for place, line in enumerate(lines):
        shown = line.values[metric]
        colour = RED if shown.flag else _COLOURS[line.kind]
        axes.errorbar(
            shown.value, place, xerr=shown.spread, fmt="o" if line.kind == "ours" else "D", color=colour, markersize=5
        )
    axes.set_yticks(range(len(lines)), [_name(line) for line in lines], fontsize=7.5)
    axes.invert_yaxis()
    _dress(axes, "", f"{METRICS[metric].title} {direction(metric)}", "")
    file = io.BytesIO()
    figure.savefig(file, dpi=110, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _name(line: Line) -> str:
    where = " ".join(part for part in (line.model, line.peft) if part)
    whose = {"paper": "paper: ", "published": "", "constant": "", "ours": ""}[line.kind]
    text = f"{whose}{line.title}" + (f" ({where})" if where else "")
    return text if len(text) < 64 else text[:61] + "…"
