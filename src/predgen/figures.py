"""Pictures of a run, as PNG. Only matplotlib's object interface is used: no global state, no window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from predgen.learning import Records, best_dev, learning_panels
from predgen.metrics import METRICS, regression_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from predgen.reliability import Curve

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#333333",
)
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY)


def learning_curves(records: Records, path: Path) -> list[str]:
    """Writer loss, director loss on gold and own histories, dev metric by decision, sampling probability.

    Args:
        records: The lines of metrics.jsonl.
        path: The PNG.

    Returns:
        The titles of the panels; one without data is left out.
    """
    shown = learning_panels(records)
    figure = _figure(3.6 * len(shown), 3.2)
    for place, (kind, title, curves) in enumerate(shown, start=1):
        axes = figure.add_subplot(1, len(shown), place)
        for colour, (name, (steps, values)) in zip(_COLOURS * 3, curves.items(), strict=False):
            marker = "o" if kind == "dev" else ""
            axes.plot(steps, values, color=colour, marker=marker, markersize=4, linewidth=1.6, label=name)
        if kind == "dev":
            _mark_best(axes, records)
        if kind == "sampling":
            axes.set_ylim(-0.05, 1.05)
        _dress(axes, title, "optimizer step", "")
        if len(curves) > 1:
            axes.legend(frameon=False, fontsize=8)
    _write(figure, path)
    return [panel.title for panel in shown]


def _mark_best(axes: Axes, records: Records) -> None:
    best = best_dev(records)
    if best is None:
        return
    axes.plot(best["step"], best["value"], "o", markersize=11, markerfacecolor="none", color=BLACK)
    axes.annotate(
        f"{best['value']:.3g}",
        (best["step"], best["value"]),
        textcoords="offset points",
        xytext=(0, 9),
        ha="center",
        fontsize=8,
    )


def comparison_of_runs(comparison: Mapping[str, Any], path: Path) -> None:
    """Each run's metric with its interval, and each difference to the first run with its own.

    Args:
        comparison: What `Comparison.to_json` gives.
        path: The PNG.
    """
    runs = comparison["runs"]
    names = [f"{Path(run['run']).name}\n{run['method']}, {run['decision']}" for run in runs]
    title = METRICS[comparison["metric"]].title
    figure = _figure(9.0, 1.4 + 0.55 * len(runs))
    panels = (
        ("value", "low", "high", runs, names, f"{title}, {comparison['rows']} rows"),
        (
            "difference",
            "difference_low",
            "difference_high",
            runs[1:],
            names[1:],
            f"difference to {Path(runs[0]['run']).name}",
        ),
    )
    for place, (value, low, high, shown, labels, heading) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, 2, place)
        for height, run in enumerate(shown):
            sure = value == "difference" and (run[low] > 0 or run[high] < 0)
            colour = RED if sure else BLUE
            axes.plot([run[low], run[high]], [height, height], color=colour, linewidth=2)
            axes.plot(run[value], height, "o", color=colour)
        axes.set_yticks(range(len(shown)), labels, fontsize=8)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        if value == "difference":
            axes.axvline(0, color=BLACK, linewidth=0.8)
        _dress(axes, heading, "95% bootstrap interval", "")
    _write(figure, path)


def reliability(curves: Sequence[Curve], kind: str, path: Path) -> None:
    """What was claimed against what came true; on the diagonal the two are one.

    Args:
        curves: At least one, over the same rows.
        kind: "confidence" or "interval level".
        path: The PNG.
    """
    figure = _figure(4.4, 4.2)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=BLACK, linewidth=0.8, linestyle="--")
    for curve, colour in zip(curves, _COLOURS, strict=False):
        axes.plot(curve.expected, curve.observed, color=colour, linewidth=1.6, label=curve.name)
        sizes = [20 + 120 * count / max(curve.counts) for count in curve.counts] if kind == "confidence" else 16
        axes.scatter(curve.expected, curve.observed, s=sizes, color=colour, alpha=0.7)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    found = "accuracy" if kind == "confidence" else "share of rows within"
    rows = sum(curves[0].counts) if kind == "confidence" else max(curves[0].counts)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    _dress(axes, f"reliability, {rows} rows", kind, found)
    _write(figure, path)


def confusion_matrix(
    truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str], title: str, path: Path
) -> None:
    """Counts in each cell, coloured by the share of the true label's rows.

    Args:
        truth: N labels.
        predicted: N labels.
        labels: In the order of the axes.
        title: What it shows.
        path: The PNG.

    Raises:
        ValueError: If truth and predicted are of unequal length.
    """
    position = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=int)
    for true, guess in zip(truth, predicted, strict=True):
        counts[position[true], position[guess]] += 1
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = max(3.6, 0.55 * len(labels) + 2.2)
    figure = _figure(size + 0.6, size)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [label if len(label) <= 18 else label[:17] + "…" for label in labels]
    long = max(map(len, names)) > 4 and len(names) > 3
    axes.set_xticks(range(len(names)), names, rotation=45 if long else 0, ha="right" if long else "center", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    for row, column in np.ndindex(counts.shape):
        if counts[row, column] or len(labels) <= 6:
            text = f"{counts[row, column]}\n{shares[row, column]:.0%}" if len(labels) <= 6 else str(counts[row, column])
            colour = "white" if shares[row, column] > 0.55 else BLACK
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    axes.set_xlabel("predicted", fontsize=9)
    axes.set_ylabel("true", fontsize=9)
    axes.set_title(title, fontsize=10, loc="left")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("share of the true label's rows", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    _write(figure, path)


def predicted_against_true(
    truth: Sequence[float],
    predicted: Sequence[float],
    low: Sequence[float] | None,
    high: Sequence[float] | None,
    title: str,
    path: Path,
) -> None:
    """Left: predictions, with their intervals where there are any. Right: residuals, with their running mean.

    Args:
        truth: N numbers.
        predicted: N numbers.
        low: N lower interval ends, or None.
        high: N upper interval ends, or None.
        title: What it shows.
        path: The PNG.

    Raises:
        ValueError: If the sequences are of unequal length.
    """
    pairs = np.array(list(zip(truth, predicted, strict=True)), dtype=float)
    figure = _figure(9.2, 4.4)
    left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    if low is not None and high is not None:
        ends = np.array(list(zip(truth, low, high, strict=True)), dtype=float)
        left.vlines(ends[:, 0], ends[:, 1], ends[:, 2], color=SKY, linewidth=0.7, alpha=0.25, label="90% interval")
        left.legend(frameon=False, fontsize=8, loc="lower right")
    _scatter(left, pairs[:, 0], pairs[:, 1])
    _dress(left, title, "true", "predicted")
    order = np.argsort(pairs[:, 0])
    residuals = pairs[:, 1] - pairs[:, 0]
    right.axhline(0, color=BLACK, linewidth=0.8)
    right.scatter(pairs[:, 0], residuals, s=9, color=BLUE, alpha=0.4, linewidths=0)
    window = max(5, len(order) // 12)
    if len(order) >= 2 * window:
        kernel = np.ones(window) / window
        right.plot(
            np.convolve(pairs[order, 0], kernel, "valid"),
            np.convolve(residuals[order], kernel, "valid"),
            color=RED,
            linewidth=1.8,
            label=f"mean of {window} neighbours",
        )
        right.legend(frameon=False, fontsize=8, loc="lower left")
    _dress(right, "residuals", "true", "predicted − true")
    _write(figure, path)


def _scatter(axes: Axes, truth: Any, predicted: Any) -> None:
    ends = [float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))]
    axes.plot(ends, ends, color=BLACK, linewidth=0.8)
    axes.scatter(truth, predicted, s=9, color=BLUE, alpha=0.4, linewidths=0)
    scores = regression_metrics(truth, predicted)
    axes.text(
        0.03,
        0.97,
        f"MAE {scores['mae']:.3f}\nPearson {scores['pearson']:.3f}",
        transform=axes.transAxes,
        va="top",
        fontsize=8,
    )
    axes.set_aspect("equal", adjustable="box")


def side_by_side(
    panels: Sequence[tuple[str, Sequence[float], Sequence[float]]],
    values: Sequence[tuple[str, str, float]],
    metric: str,
    path: Path,
) -> None:
    """One scatter panel a method on shared axes, and below them a metric by method and decision.

    Args:
        panels: Title, N true and N predicted numbers of each method.
        values: Method, decision and value of each dot; the method is "constant" for a baseline.
        metric: Which metric the values are.
        path: The PNG.
    """
    figure = _figure(3.5 * len(panels), 3.4 + 0.24 * len(values) + 0.9)
    grid = figure.add_gridspec(2, len(panels), height_ratios=[3.4, 0.24 * len(values) + 0.6])
    first = None
    for column, (title, truth, predicted) in enumerate(panels):
        axes = figure.add_subplot(grid[0, column], sharex=first, sharey=first)
        first = first or axes
        _scatter(axes, np.asarray(truth), np.asarray(predicted))
        _dress(axes, title, "true", "predicted" if column == 0 else "")
    axes = figure.add_subplot(grid[1, :])
    methods = list(dict.fromkeys(method for method, _, _ in values))
    colours = dict(zip(methods, _COLOURS, strict=False))
    for place, (method, _, value) in enumerate(reversed(values)):
        axes.hlines(place, 0, value, color=colours[method], linewidth=1.2, alpha=0.5)
        axes.plot(value, place, "o", color=colours[method], markersize=6)
        axes.annotate(f"{value:.3f}", (value, place), textcoords="offset points", xytext=(7, -3), fontsize=8)
    axes.set_yticks(
        range(len(values)), [f"{method}: {decision}" for method, decision, _ in reversed(values)], fontsize=8
    )
    axes.set_xlim(0, max(value for _, _, value in values) * 1.12)
    axes.set_ylim(-0.6, len(values) - 0.4)
    _dress(axes, f"test {METRICS[metric].title}", "", "")
    _write(figure, path)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _dress(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2, linewidth=0.6)


def _write(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=144)
