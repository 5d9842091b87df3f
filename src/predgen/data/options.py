"""Options that a row may be answered by, where they differ from row to row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from predgen.data.targets import is_list
from predgen.data.templates import render
from predgen.errors import DataError, nearest


class Question(str):
    """A prompt's body that knows the options it may be answered by; to all that do not ask for them it is its text.

    Args:
        text: The body.
        options: At least two texts.
    """

    options: tuple[str, ...]

    def __new__(cls, text: str, options: Sequence[str]) -> Question:
        """Joins the two."""
        made = super().__new__(cls, text)
        made.options = tuple(options)
        return made


def body_of(template: str, row: Mapping[str, Any], columns: Sequence[str] = (), number: int | None = None) -> str:
    """A row as a prompt's body; as a `Question` where columns hold options.

    Args:
        template: As `render` takes it.
        row: Column → value.
        columns: One that holds a list, or several that hold an option each; none where all rows have the same answers.
        number: As `render` takes it.

    Raises:
        DataError: As `render` says, or if the options are not there, fewer than two, or blank.
    """
    text = render(template, row, number)
    return Question(text, _options(row, columns, number)) if columns else text


def _options(row: Mapping[str, Any], columns: Sequence[str], number: int | None) -> list[str]:
    where = "The row" if number is None else f"Row {number}"
    for column in columns:
        if column not in row:
            raise DataError(f"{where} has no column {column!r}, which holds options:", nearest(column, map(str, row)))
    values = [row[column] for column in columns]
    listed = list(values[0]) if len(values) == 1 and is_list(values[0]) else values
    options = ["" if value is None else str(value).strip() for value in listed]
    # Two may be alike: some rows of SIQA and OpenBookQA have such, and the first of them is then predicted.
    if len(options) < 2 or "" in options:
        raise DataError(f"{where} has the options {options} (data.options).", "Expected two or more, none blank.")
    return options
