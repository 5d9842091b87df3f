"""Lines → rows, of the text formats that are read."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from predgen.data.table import BadRow, Row
from predgen.errors import DataError

# What Python makes of bytes that are not UTF-8, where it is told to go on.
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


def json_lines(lines: Iterable[str]) -> Iterator[Row | BadRow]:
    """One object a line; blank lines are passed over.

    Args:
        lines: Of the file; bytes that are not UTF-8 as surrogates, where they are to cost their row alone.
    """
    number = 0
    for line_number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if _NOT_UTF8.search(line):
            yield BadRow(number, f"line {line_number} is not UTF-8.")
        else:
            yield _json_row(line, number, line_number)
        number += 1


def _json_row(line: str, number: int, line_number: int) -> Row | BadRow:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as problem:
        return BadRow(number, f"line {line_number} is not JSON: {problem.msg} at column {problem.colno}.")
    except RecursionError:
        return BadRow(number, f"line {line_number} is nested too deeply.")
    except ValueError as problem:  # an integer of more digits than Python reads
        return BadRow(number, f"line {line_number} cannot be read: {str(problem).partition(';')[0]}.")
    if isinstance(value, dict):
        return value
    return BadRow(number, f"line {line_number} holds a {type(value).__name__}, not an object.")


def delimited(lines: Iterable[str], delimiter: str) -> Iterator[Row | BadRow]:
    """One row a record, under a header.

    Args:
        lines: As `json_lines` takes them, their line ends untouched.
        delimiter: Between fields.

    Raises:
        DataError: If the header has a column without a name, or one twice, or is not UTF-8.
    """
    csv.field_size_limit(2**31 - 1)
    # strict: a quote that never closes would otherwise swallow the rest of the file into one field
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    number = 0
    header: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            yield BadRow(number, f"line {line} is malformed: {problem}.")
            number += 1
            continue
        if not fields:
            continue
        if not header:
            header = [name.strip() for name in fields]
            _check_header(header)
            continue
        if any(map(_NOT_UTF8.search, fields)):
            yield BadRow(number, f"line {line} is not UTF-8.")
        elif len(fields) == len(header):
            yield dict(zip(header, fields, strict=True))
        else:
            yield BadRow(number, f"line {line} has {len(fields)} fields; the header has {len(header)}.")
        number += 1


def _check_header(header: list[str]) -> None:
    if any(map(_NOT_UTF8.search, header)):
        raise DataError("The header is not UTF-8.", remedy="Save the file as UTF-8.")
    if "" in header:
        raise DataError(f"Column {header.index('') + 1} of the header has no name.", f"Found {header}.")
    refuse_twice(header, "The header")


def refuse_twice(columns: Sequence[Any], where: str) -> None:
    """Refuses columns of the same name, of which a row could hold but one.

    Args:
        columns: Their names.
        where: What names them, for the message.

    Raises:
        DataError: The message names them.
    """
    twice = sorted(str(name) for name, count in Counter(columns).items() if count > 1)
    if twice:
        raise DataError(f"{where} names these columns twice: {twice}.", remedy="Rename one of each.")
