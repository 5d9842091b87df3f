"""One target value: is it there, is it a number, and how is it written."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, NamedTuple

_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none"})
_ABSENT = frozenset({"NAType", "NaTType"})  # the classes of pandas.NA and pandas.NaT


def absent(value: Any) -> bool:
    """Whether there is no value: None, NaN, or what pandas has in their place."""
    if isinstance(value, Real):  # numpy's numbers too
        return bool(value != value)
    return value is None or type(value).__name__ in _ABSENT


def missing(value: Any) -> bool:
    """Whether a value stands for nothing: an absent one, a blank, or one of the usual words for it."""
    return absent(value) or (isinstance(value, str) and value.strip().lower() in _MISSING)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, or a text that spells one. True and False are not."""
    return number_of(value) is not None


def number_of(value: Any) -> float | None:
    """The finite number that a value is or spells; None where it is none.

    Python's own underscores between digits spell none: ``1_2`` is a label.
    """
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


class Solution(NamedTuple):
    """A worked solution, taken apart."""

    text: str  # all before the marker
    number: float


def solution_of(value: Any, marker: str) -> Solution | None:
    """What stands before and behind a target's last marker; None unless the latter is a number, commas allowed."""
    if not isinstance(value, str) or marker not in value:
        return None
    text, _, behind = value.rpartition(marker)
    number = number_of(behind.strip().removeprefix("$").rstrip(".").replace(",", ""))
    return None if number is None else Solution(text.strip(), number)


def label_of(value: Any) -> str:
    """A label as text: 1, 1.0 and "1" are one label; True is "true"."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def is_list(value: Any) -> bool:
    """Whether a value is a list of labels, as JSON and parquet hold them."""
    return isinstance(value, list | tuple | set) or (hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1)


def labels_of(value: Any, separator: str | None) -> list[str] | None:
    """The labels of a list, or of a text with a separator between them; None where it is neither."""
    if is_list(value):
        items = list(value)
    elif separator is not None and isinstance(value, str):
        items = value.split(separator)
    else:
        return None
    if any(is_list(item) or item is None for item in items):
        return None
    return [label for label in map(label_of, items) if label]


def decimals_of(value: float, most: int = 9) -> int:
    """Digits after the point that a number needs, at most `most`."""
    for decimals in range(most):
        if math.isclose(value, round(value, decimals), rel_tol=0.0, abs_tol=1e-10):
            return decimals
    return most
