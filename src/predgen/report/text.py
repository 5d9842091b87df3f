"""Texts and numbers as a reader may safely be shown them."""

from __future__ import annotations

import math
import unicodedata

MOST = 600  # characters of a row's text
# Embeddings, overrides and isolates reorder what stands around them. Marks of one character's width (U+200E, U+200F)
# are part of ordinary Arabic and Hebrew, and stay.
_BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def shown(text: str, most: int = MOST) -> str:
    """A text without characters that a page cannot hold or that would rearrange it, and cut where it is too long.

    Control and directional characters become their code in brackets, halves of surrogate pairs a replacement
    character. HTML is escaped later, by the template.

    Args:
        text: Any.
        most: Characters that are kept; what is cut is counted.
    """
    cut = len(text) - most
    visible = "".join(map(_visible, text[:most]))
    return visible if cut <= 0 else f"{visible}… ({cut:,} more characters)"


def _visible(character: str) -> str:
    code = ord(character)
    if character in "\n\t":
        return character
    if unicodedata.category(character) == "Cc" or code in _BIDI:
        return f"[U+{code:04X}]"
    # Surrogates, and what is no character: the last two of each plane, U+FDD0 to U+FDEF.
    if unicodedata.category(character) == "Cs" or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
        return "\N{REPLACEMENT CHARACTER}"
    return character


def short(text: str, most: int = 22) -> str:
    """One line for a chart's label or a table's cell."""
    line = " ".join(shown(text, 10 * most).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits, thousands grouped, a real minus; a dash where there is none.

    Args:
        value: Any.
        digits: Significant ones.
    """
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    plain = -4 <= power < 7
    text = f"{value:,.{max(0, digits - 1 - power)}f}" if plain else f"{value:.{digits - 1}e}"
    return text.replace("-", "−")


def brief(value: float) -> str:
    """A number of the data: four significant digits, no zeros behind them."""
    text = f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e7 else f"{value:.4g}"
    return text.replace("-", "−")


def fixed(value: float | None, decimals: int = 3) -> str:
    """A metric: so many decimals, unless it is too large for them."""
    if value is None or not math.isfinite(value):
        return "–"
    if abs(value) >= 1000:
        return number(value, 4)
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")  # + 0.0: nought has no sign


def percent(share: float | None, decimals: int = 0) -> str:
    """A share as a percentage."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.{decimals}f}%"


def between(low: float, high: float) -> str:
    """An interval of a metric."""
    return f"{fixed(low)} to {fixed(high)}"


def count(number_of: int, one: str, many: str | None = None) -> str:
    """So many of something, in the right number: "1 row", "1,200 rows"."""
    return f"{number_of:,} {one if number_of == 1 else many or one + 's'}"
