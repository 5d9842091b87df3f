"""How training went."""

from __future__ import annotations

from predgen.learning import Panel, best_dev, learning_panels
from predgen.report.blocks import Figure, Figures, Key, Notice, Section, Table
from predgen.report.charts.canvas import mark_of
from predgen.report.charts.lines import Line, line_chart
from predgen.report.material import Material
from predgen.report.text import fixed, number

_POINTS = 400  # of a curve; longer ones are thinned


def learning_section(material: Material) -> Section:
    """One small chart a panel."""
    panels = learning_panels(material.log)
    losses = [(line["step"], line["loss"]) for line in material.log if line["event"] == "train" and line.get("loss")]
    if losses and not any(panel.kind in ("writer", "director") for panel in panels):
        panels.insert(0, Panel("loss", "loss", {"": ([step for step, _ in losses], [loss for _, loss in losses])}))
    if not panels:
        return Section("Learning curves", [Notice("The run folder has no training log.", "Not shown")])
    return Section("Learning curves", [Figures([_figure(panel, material) for panel in panels])])


def _figure(panel: Panel, material: Material) -> Figure:
    lines = []
    for name, (steps, values) in panel.curves.items():
        step = max(1, -(-len(steps) // _POINTS))
        lines.append(Line(name, steps[::step], values[::step], dots=panel.kind == "dev"))
    best = best_dev(material.log) if panel.kind == "dev" else None
    title = panel.title[0].upper() + panel.title[1:]
    said = "; ".join(
        f"{line.name + ': ' if line.name else ''}from {number(line.ys[0])} to {number(line.ys[-1])}" for line in lines
    )
    note = ""
    if best is not None:
        note = f"Ringed: the best, {number(best['value'])} at step {best['step']}, decision {best['decision']}."
    svg = line_chart(
        lines, ("optimizer step", ""), title, said,
        y_range=(-0.03, 1.03) if panel.kind == "sampling" else None,
        ring=None if best is None else (best["step"], best["value"]),
    )  # fmt: skip
    points = sorted({point for line in lines for point in line.xs})
    every = max(1, -(-len(points) // 60))
    columns = [dict(zip(line.xs, line.ys, strict=True)) for line in lines]
    rows = [(f"{point:g}", *(fixed(column.get(point), 4) for column in columns)) for point in points[::every]]
    table = Table(title, ("step", *(line.name or "value" for line in lines)), rows, words=0, folded=True)
    keys = [Key(mark_of(place), line.name) for place, line in enumerate(lines)] if len(lines) > 1 else []
    return Figure(title, svg, keys, note, table)
