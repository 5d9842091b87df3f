"""Rows of one source, as everything after reading sees them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class BadRow:
    """A row that could not be read.

    Args:
        number: Position among the rows, from 0.
        reason: What is wrong, with the line of the file.
    """

    number: int
    reason: str


@dataclass(frozen=True)
class Table:
    """Rows of one source.

    Args:
        name: As the user wrote it.
        rows: In order; bad ones only where they were asked to be kept.
        columns: Names, in order of first appearance.
        fingerprint: SHA-256 of the file, or of a named source's rows.
        text_column: What a named source offers as text; None for files.
        target_column: What it offers as target; None for files.
        notes: What a reader of figures should know of the rows.
    """

    name: str
    rows: list[Row | BadRow]
    columns: tuple[str, ...]
    fingerprint: str
    text_column: str | None = None
    target_column: str | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def good_rows(self) -> list[Row]:
        """The rows that could be read."""
        return [row for row in self.rows if not isinstance(row, BadRow)]
