"""Row → text: a template with ``{column}`` fields."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from predgen.data.targets import absent, is_list
from predgen.errors import DataError, nearest

_LETTERS = string.ascii_uppercase


def template_fields(template: str) -> list[str]:
    """The columns a template reads, in order of first appearance.

    Raises:
        DataError: If a brace is left open or stands alone, or a field has no name.
    """
    return list(dict.fromkeys(name for text, name in _pieces(template) if name is not None))


def render(template: str, row: Mapping[str, Any], number: int | None = None) -> str:
    """Fills a template from a row.

    Args:
        template: ``{name}`` stands for a column, ``{{`` and ``}}`` for braces. Nothing else is interpreted. A list is
            written as lettered lines, ``A. first``.
        row: Column → value; None and NaN count as empty.
        number: The row's position, for the message.

    Raises:
        DataError: If a column is missing, all that the template reads are empty, or half a character stands in them.
    """
    where = "The row" if number is None else f"Row {number}"
    parts, filled, fields = [], False, template_fields(template)
    for text, name in _pieces(template):
        parts.append(text)
        if name is not None:
            if name not in row:
                raise DataError(f"{where} has no column {name!r}:", nearest(name, map(str, row)))
            value = _text(row[name])
            filled = filled or bool(value)
            parts.append(value)
    if not filled:
        raise DataError(f"{where} is empty: nothing in {', '.join(map(repr, fields))}.")
    text = "".join(parts)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise DataError(
            f"{where} holds {text[problem.start]!r}, half of a surrogate pair and no character.",
            remedy="Mend the text's encoding.",
        ) from None
    return text


def _text(value: Any) -> str:
    if absent(value):
        return ""
    if is_list(value):
        items = [str(item).strip() for item in value]
        marks = _LETTERS if len(items) <= len(_LETTERS) else [str(number + 1) for number in range(len(items))]
        return "\n".join(f"{mark}. {item}" for mark, item in zip(marks, items, strict=False))
    return str(value).strip()


def _pieces(template: str) -> list[tuple[str, str | None]]:
    """Literal text and the column behind it, None at the end. Never str.format: rows and columns are user data."""
    pieces: list[tuple[str, str | None]] = []
    text, place = "", 0
    while place < len(template):
        character = template[place]
        if template[place : place + 2] in ("{{", "}}"):
            text, place = text + character, place + 2
        elif character == "{":
            end = template.find("}", place)
            name = template[place + 1 : end] if end > 0 else ""
            if not name.strip() or "{" in name:
                raise DataError(f"The template {template!r} has an open or empty brace.", "Fields look like {column}.")
            pieces.append((text, name))
            text, place = "", end + 1
        elif character == "}":
            raise DataError(f"The template {template!r} has a lone '}}'.", "Write }} for a brace.")
        else:
            text, place = text + character, place + 1
    return [*pieces, (text, None)]
