"""Pictures of measured information: bars (Fig. 2), components (Fig. 7), layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from predgen.figures import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY, _dress, _figure, _write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from predgen.information.measure import Information, Measured

_COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)


def _name(one: Measured) -> str:
    run = Path(one.run).name
    return run if one.method in run else f"{run} ({one.method})"


def bars(panels: Sequence[Information], path: Path) -> None:
    """One panel a data set: every representation's information by each estimator, its interval, and H(Y).

    Args:
        panels: What was measured.
        path: The PNG.
    """
    tallest = max(len({(_name(one), one.representation) for one in panel.measured}) for panel in panels)
    figure = _figure(5.6 * len(panels), 1.6 + 0.62 * tallest)
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        rows = list(dict.fromkeys((_name(one), one.representation, one.dimensions) for one in panel.measured))
        estimators = list(dict.fromkeys(one.estimate.estimator for one in panel.measured))
        thick = 0.8 / len(estimators)
        for number, estimator in enumerate(estimators):
            mine = {
                (_name(one), one.representation, one.dimensions): one.estimate
                for one in panel.measured
                if one.estimate.estimator == estimator
            }
            heights = [row + (number - (len(estimators) - 1) / 2) * thick for row in range(len(rows))]
            values = [mine[key].nats for key in rows]
            axes.barh(heights, values, thick * 0.92, color=_COLOURS[number], alpha=0.85, label=estimator)
            for height, key in zip(heights, rows, strict=True):
                axes.plot([mine[key].low, mine[key].high], [height, height], color=BLACK, linewidth=1.2)
                if mine[key].flags:
                    axes.annotate("!", (mine[key].high, height), xytext=(3, -4), textcoords="offset points", fontsize=9)
        axes.set_yticks(
            range(len(rows)), [f"{run}\n{what}, {width} numbers" for run, what, width in rows], fontsize=7.5
        )
        axes.invert_yaxis()
        if panel.ceiling is not None:
            highest = max(one.estimate.high for one in panel.measured)
            if panel.ceiling < 2.5 * highest:
                axes.axvline(panel.ceiling, color=BLACK, linestyle="--", linewidth=1)
                axes.text(panel.ceiling, len(rows) - 0.5, "H(Y) ", fontsize=8, rotation=90, ha="right", va="bottom")
        # Above the bars, since an interval may end anywhere among them.
        axes.legend(fontsize=8, frameon=False, ncols=len(estimators), loc="lower right", bbox_to_anchor=(1.0, 1.0))
        ceiling = "" if panel.ceiling is None else f"; H(Y) {panel.ceiling:.2f}"
        _dress(axes, "", f"nats, 95% interval{ceiling}", "")
        axes.set_title(f"{panel.data}, {panel.rows} unseen rows", fontsize=10, loc="left", pad=14)
    _write(figure, path)


def components_curves(panels: Sequence[Information], path: Path) -> None:
    """One panel a data set: information against principal components a token."""
    figure = _figure(4.8 * len(panels), 3.6)
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        _curves(axes, panel.sweep, lambda one: one.components or 0)
        _dress(axes, f"{panel.data}, {panel.rows} unseen rows", "principal components a token", "nats, held-out rows")
    _write(figure, path)


def layer_curves(panels: Sequence[Information], path: Path) -> None:
    """One panel a data set: information against the layer, 0 the embeddings."""
    figure = _figure(4.8 * len(panels), 3.6)
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        _curves(axes, panel.by_layer, lambda one: one.layer)
        _dress(axes, f"{panel.data}, {panel.rows} unseen rows", "layer", "nats, held-out rows")
    _write(figure, path)


def _curves(axes: Axes, measured: Sequence[Measured], at: object) -> None:
    assert callable(at)
    names = list(dict.fromkeys((_name(one), one.representation) for one in measured))
    for colour, key in zip(_COLOURS, names, strict=False):
        mine = [one for one in measured if (_name(one), one.representation) == key]
        places = [at(one) for one in mine]
        run, what = key
        axes.plot(
            places, [one.estimate.nats for one in mine], "o-", markersize=3.5, color=colour, label=f"{run}, {what}"
        )
        axes.fill_between(
            places, [one.estimate.low for one in mine], [one.estimate.high for one in mine], color=colour, alpha=0.13
        )
    axes.legend(fontsize=7.5, frameon=False)
