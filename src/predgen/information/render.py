"""A map over a text's words, for the terminal, as HTML, and as PNG."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from predgen.figures import BLACK, BLUE, GREEN, RED

if TYPE_CHECKING:
    from rich.text import Text

    from predgen.information.faithfulness import Faithfulness
    from predgen.information.token_map import Column, TokenMap

_FOR, _AGAINST = (230, 159, 0), (0, 114, 178)  # orange and blue of Okabe and Ito's palette
_WORDS_A_LINE = 16  # of the picture


def shade(value: float, largest: float) -> tuple[int, int, int]:
    """White for 0, orange up to the largest, blue down to its negative.

    Args:
        value: Of a word.
        largest: What is drawn in full colour; 0 where nothing has any size.
    """
    share = 0.0 if largest <= 0 else min(1.0, abs(value) / largest)
    colour = _FOR if value >= 0 else _AGAINST
    red, green, blue = (round(255 + (part - 255) * share) for part in colour)
    return red, green, blue


def terminal_lines(token_map: TokenMap, most: int = 12) -> list[Text]:
    """One coloured line a column, the map's first in front, and each column's strongest words with their numbers.

    Args:
        token_map: To be shown.
        most: Columns at most; a map over many options shows the first.
    """
    from rich.text import Text

    lines = []
    for column in token_map.columns[:most]:
        line = Text(f"{column.name} ({column.unit}): ", style="bold")
        largest = column.scale
        for word, value in zip(token_map.words, column.values, strict=True):
            red, green, blue = shade(value, largest)
            line.append(word.text.replace("\n", " "), style=f"rgb(20,20,20) on rgb({red},{green},{blue})")
        lines.append(line)
        places = sorted(range(len(column.values)), key=lambda place: -abs(column.values[place]))[:5]
        sign = "+" if column.signed else ""
        shown = ", ".join(
            f"{token_map.words[place].text.strip()!r} {column.values[place]:{sign}.3f}" for place in places
        )
        lines.append(Text(f"   {shown}", style="dim"))
    if len(token_map.columns) > most:
        lines.append(Text(f"   and {len(token_map.columns) - most} more columns in the files", style="dim"))
    return lines


def write_html(token_map: TokenMap, faithful: Faithfulness | None, path: Path) -> None:
    """One self-contained page: every column as coloured text, numbers on hovering."""
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>predgen explain</title>",
        "<style>body{font:16px/1.9 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#222}"
        "h2{font-size:1rem;margin:1.4rem 0 .2rem}mark{padding:.15em 0;color:#141414;white-space:pre-wrap}"
        "small{color:#555}</style>",
        f"<h1>{html.escape(token_map.answer)}</h1>",
        f"<p><small>{html.escape(token_map.method)}, estimator: {html.escape(token_map.estimator)}. "
        "Orange: more, or for it; blue: against it. Each row has a scale of its own; hover for numbers.</small></p>",
    ]
    for column in token_map.columns:
        parts.append(f"<h2>{html.escape(column.name)} <small>({html.escape(column.unit)})</small></h2><p>")
        largest = column.scale
        for word, value in zip(token_map.words, column.values, strict=True):
            red, green, blue = shade(value, largest)
            parts.append(
                f"<mark style='background:rgb({red},{green},{blue})' title='{value:+.4f}'>"
                f"{html.escape(word.text)}</mark>"
            )
        parts.append("</p>")
    notes = [*token_map.notes, *([faithful.line()] if faithful else [])]
    parts += ["<h2>Notes</h2><ul>", *(f"<li>{html.escape(note)}</li>" for note in notes), "</ul></html>"]
    path.write_text("\n".join(parts), encoding="utf-8")


def write_png(token_map: TokenMap, faithful: Faithfulness | None, path: Path, most: int = 6) -> None:
    """A heatmap, words along it and one row a column, wrapped; below it the faithfulness curves.

    Args:
        token_map: To be drawn.
        faithful: Its curves, if measured.
        path: The PNG.
        most: Columns at most.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    words = [_short(word.text, size) for word, size in zip(token_map.words, token_map.sizes, strict=True)]
    columns = token_map.columns[:most]
    blocks = math.ceil(len(words) / _WORDS_A_LINE)
    wide = min(len(words), _WORDS_A_LINE)
    lines = max(word.count("\n") for word in words)
    block_height, curves = 0.42 * len(columns) + 0.8 + 0.3 * lines, 2.2 if faithful else 0.0
    figure = Figure(figsize=(2.4 + 0.62 * wide, 0.5 + blocks * block_height + curves), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        blocks + bool(faithful), 1, height_ratios=[block_height] * blocks + ([curves] if faithful else [])
    )
    for block in range(blocks):
        axes = figure.add_subplot(grid[block, 0])
        start, stop = block * _WORDS_A_LINE, min((block + 1) * _WORDS_A_LINE, len(words))
        image = np.ones((len(columns), wide, 3))
        for row, column in enumerate(columns):
            largest = column.scale
            for place in range(start, stop):
                value = column.values[place]
                image[row, place - start] = np.array(shade(value, largest)) / 255
                ink = "white" if -value > 0.6 * largest else BLACK  # on a dark blue
                axes.text(place - start, row, _number(value), ha="center", va="center", fontsize=6, color=ink)
        axes.imshow(image, aspect="auto")
        axes.set_xticks(range(stop - start), words[start:stop], fontsize=7.5, rotation=35, ha="right")
        axes.set_yticks(range(len(columns)), [f"{c.name} ({c.unit})" for c in columns], fontsize=7.5)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        if block == 0:
            axes.set_title(
                f"{token_map.method} answers {token_map.answer}; {token_map.estimator}, each row on its own scale",
                fontsize=9,
                loc="left",
            )
    if faithful:
        axes = figure.add_subplot(grid[blocks, 0])
        axes.plot(faithful.shares, faithful.deletion, color=RED, label="deletion: the map's words gone first")
        axes.plot(faithful.shares, faithful.insertion, color=GREEN, label="insertion: the map's words back first")
        axes.plot(faithful.shares, faithful.random, color=BLACK, linestyle="--", linewidth=1, label="random, gone")
        axes.plot(faithful.shares, faithful.random[::-1], color=BLUE, linestyle=":", linewidth=1, label="random, back")
        axes.set_xlabel("share of the words", fontsize=8)
        axes.set_ylabel(f"change of {faithful.unit}", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=7, frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _short(text: str, words: int) -> str:
    """A word in one line; a piece of several in up to three."""
    plain = " ".join(text.split()) or "·"
    if words > 1:
        return textwrap.fill(plain, 18, max_lines=3, placeholder=" …")
    return plain if len(plain) <= 14 else plain[:13] + "…"


def _number(value: float) -> str:
    decimals = 2 if abs(value) >= 0.095 else 3
    return "0" if abs(value) < 0.0005 else f"{value:.{decimals}f}"


def legend(columns: Sequence[Column]) -> str:
    """How to read the colours."""
    if any(column.signed for column in columns):
        return "Orange: more, or for it; blue: against it. Each row has a scale of its own."
    return "Orange: more. Each row has a scale of its own."
