"""The frame that charts are drawn in: scales, axes, and the SVG around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup

from predgen.report.text import number

WIDTH = 360.0  # of a drawing, in its own units: a phone shows one about as wide as that, so that its texts stay legible
CHARACTER = 5.9  # mean width of a character of a chart's texts


def text_width(texts: Sequence[str]) -> float:
    """About how wide the widest text is."""
    return CHARACTER * max((len(text) for text in texts), default=0)


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) within a range, at most so many.

    Args:
        low: Where it begins.
        high: Where it ends.
        most: At least 2.
    """
    if not high > low:
        return [low]
    for power in range(math.floor(math.log10((high - low) / most)) - 1, 400):
        for factor in (1, 2, 5):
            step = factor * 10.0**power
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            if last - first + 1 <= most:
                return [round(place * step, 12) + 0.0 for place in range(first, last + 1)]
    return [low, high]


def padded(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    """A range that holds all finite values, with some room around them."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    room = (high - low) * share or abs(high) * share or 1.0
    return low - room, high + room


@dataclass
class Canvas:
    """A plotting area with margins; data units go in, SVG comes out.

    Args:
        x_range: What the area's width stands for.
        y_range: What its height stands for.
        height: Of the whole drawing.
        left: Margin, for the labels of the vertical axis.
        right: Margin.
        top: Margin.
        bottom: Margin, for the labels of the horizontal axis.
        width: Of the whole drawing.
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    height: float = 230.0
    left: float = 44.0
    right: float = 12.0
    top: float = 10.0
    bottom: float = 38.0
    width: float = WIDTH
    parts: list[Markup] = field(default_factory=list)

    def x(self, value: float) -> float:
        """Where a value lies, from the left."""
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Where a value lies, from the top."""
        low, high = self.y_range
        return self.height - self.bottom - (value - low) / (high - low) * (self.height - self.top - self.bottom)

    def line(self, x1: float, y1: float, x2: float, y2: float, mark: str) -> None:
        """A straight line between two places of the drawing."""
        self.parts.append(Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
            mark, x1, y1, x2, y2))  # fmt: skip

    def text(self, x: float, y: float, text: str, mark: str = "", anchor: str = "start", turn: float = 0) -> None:
        """A text at a place of the drawing."""
        turned = Markup(' transform="rotate({:g} {:.1f} {:.1f})"').format(turn, x, y) if turn else ""
        self.parts.append(
            Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}"{}>{}</text>').format(
                mark, x, y, anchor, turned, text
            )
        )

    def rect(self, x: float, y: float, width: float, height: float, mark: str, tip: str = "", style: str = "") -> None:
        """A rectangle, with a tip for the mouse."""
        inner = Markup("<title>{}</title>").format(tip) if tip else ""
        styled = Markup(' style="{}"').format(style) if style else ""
        self.parts.append(
            Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"{}>{}</rect>').format(
                mark, x, y, max(width, 0.0), max(height, 0.0), styled, inner
            )
        )

    def dot(self, x: float, y: float, radius: float, mark: str, tip: str = "") -> None:
        """A disc at a place of the drawing."""
        inner = Markup("<title>{}</title>").format(tip) if tip else ""
        self.parts.append(
            Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:g}">{}</circle>').format(mark, x, y, radius, inner)
        )

    def path(self, xs: Sequence[float], ys: Sequence[float], mark: str) -> None:
        """A line through points in data units; what is not finite is left out."""
        points = [
            f"{self.x(x):.1f},{self.y(y):.1f}"
            for x, y in zip(xs, ys, strict=True)
            if math.isfinite(x) and math.isfinite(y)
        ]
        if len(points) > 1:
            self.parts.append(Markup('<polyline class="{}" points="{}"/>').format(mark, " ".join(points)))

    def band(self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], mark: str) -> None:
        """The area between two lines in data units."""
        there = [place for place in range(len(xs)) if math.isfinite(low[place]) and math.isfinite(high[place])]
        points = [f"{self.x(xs[place]):.1f},{self.y(high[place]):.1f}" for place in there]
        points += [f"{self.x(xs[place]):.1f},{self.y(low[place]):.1f}" for place in reversed(there)]
        if len(there) > 1:
            self.parts.append(Markup('<polygon class="{}" points="{}"/>').format(mark, " ".join(points)))

    def x_axis(self, label: str, ticks: Sequence[float] | None = None, names: Sequence[str] | None = None) -> None:
        """Ticks, their names and the axis's label, below the area."""
        bottom = self.height - self.bottom
        ticks = nice_ticks(*self.x_range) if ticks is None else ticks
        self.line(self.left, bottom, self.width - self.right, bottom, "axis")
        for tick, name in zip(ticks, names or _names(ticks), strict=True):
            self.line(self.x(tick), bottom, self.x(tick), bottom + 4, "axis")
            self.text(self.x(tick), bottom + 15, name, "tick", "middle")
        self.text((self.left + self.width - self.right) / 2, self.height - 5, label, "label", "middle")

    def y_axis(self, label: str, ticks: Sequence[float] | None = None, names: Sequence[str] | None = None) -> None:
        """Ticks with lines across the area, their names, and the axis's label, turned, on the left."""
        ticks = nice_ticks(*self.y_range, most=6) if ticks is None else ticks
        for tick, name in zip(ticks, names or _names(ticks), strict=True):
            self.line(self.left, self.y(tick), self.width - self.right, self.y(tick), "grid")
            self.text(self.left - 6, self.y(tick) + 3.6, name, "tick", "end")
        if label:
            middle = (self.top + self.height - self.bottom) / 2
            self.text(11, middle, label, "label", "middle", -90)

    def svg(self, title: str, description: str) -> Markup:
        """The drawing.

        Args:
            title: What it is.
            description: What it shows, in words.
        """
        return Markup(
            '<svg class="chart" viewBox="0 0 {:g} {:g}" role="img"><title>{}</title><desc>{}</desc>{}</svg>'
        ).format(self.width, self.height, title, description, Markup("").join(self.parts))


def _names(ticks: Sequence[float]) -> list[str]:
    """As short as they can be while no two are alike."""
    step = min(np.diff(ticks)) if len(ticks) > 1 else 1.0
    if max(map(abs, ticks), default=0) >= 1e5:
        return [number(tick, 2) for tick in ticks]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 2
    return [f"{tick:,.{decimals}f}".replace("-", "−") for tick in ticks]


def mark_of(place: int) -> str:
    """The class of the place-th series."""
    return f"s{place % 6 + 1}"
