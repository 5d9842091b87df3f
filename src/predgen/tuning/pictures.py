"""What a search found, as one picture: which settings mattered, and how the best value came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from predgen.figures import BLUE, GREEN, ORANGE, _dress, _figure, _write
from predgen.metrics import METRICS, better


def importance_and_history(
    importance: Mapping[str, float], trials: Sequence[Mapping[str, Any]], metric: str, path: Path
) -> None:
    """Bars of the settings' importance, the greatest on top; each trial's dev value, and the best so far.

    Args:
        importance: Setting → share; empty where trials were too few to say.
        trials: As `trials.json` holds them.
        metric: What was optimised.
        path: The PNG.
    """
    figure = _figure(9.0 if importance else 5.5, 3.6)
    grid = figure.add_gridspec(1, 2 if importance else 1)
    if importance:
        axes = figure.add_subplot(grid[0, 0])
        names = list(importance)[::-1]
        axes.barh(names, [importance[name] for name in names], color=BLUE, height=0.6)
        for place, name in enumerate(names):
            axes.annotate(
                f"{importance[name]:.2f}",
                (importance[name], place),
                textcoords="offset points",
                xytext=(4, -3),
                fontsize=8,
            )
        axes.set_xlim(0, max(importance.values()) * 1.15)
        _dress(axes, "what the dev metric varies by (fANOVA)", "share", "")
    axes = figure.add_subplot(grid[0, -1])
    finished = [(trial["trial"], trial["value"]) for trial in trials if trial["state"] == "complete"]
    pruned = [
        (trial["trial"], list(trial["dev"].values())[-1])
        for trial in trials
        if trial["state"] == "pruned" and trial["dev"]
    ]
    axes.plot(*zip(*finished, strict=True), "o", color=GREEN, markersize=4, label="finished")
    if pruned:
        axes.plot(*zip(*pruned, strict=True), "x", color=ORANGE, markersize=5, label="ended early")
    best: list[float] = []
    for _, value in finished:
        best.append(value if not best or better(metric, value, best[-1]) else best[-1])
    axes.step([number for number, _ in finished], best, where="post", color=BLUE, linewidth=1.2, label="best so far")
    axes.legend(fontsize=8, frameon=False)
    _dress(axes, f"dev {METRICS[metric].title}", "trial", "")
    _write(figure, path)
