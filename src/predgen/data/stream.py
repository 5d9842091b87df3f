"""Rows of a source one by one, in constant memory, however long the file is."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from predgen.data.formats import delimited, json_lines
from predgen.data.objects import parquet_rows
from predgen.data.sources import file_kind, read_table
from predgen.data.table import BadRow, Row
from predgen.errors import DataError


def stream_rows(source: str | Path, root: str | Path | None = None) -> Iterator[Row | BadRow]:
    """The rows of a source, in order; those that cannot be read as `BadRow`.

    Args:
        source: As `read_table` takes it. Files are read as they are asked for; named data sets and saved ones at once.
        root: As `read_table` takes it.

    Raises:
        DataError: If there is no such source, its header is malformed, or what is left of it cannot be read at all.
    """
    path = Path(source).expanduser()
    if path.is_dir() or not path.exists():
        yield from read_table(source, keep_bad=True, root=root).rows
        return
    kind = file_kind(path)
    if kind == ".parquet":
        yield from parquet_rows(path)
        return
    try:
        with _open(path, newline="\n" if kind in (".jsonl", ".ndjson") else "") as file:
            yield from (
                json_lines(file) if kind in (".jsonl", ".ndjson") else delimited(file, "\t" if kind == ".tsv" else ",")
            )
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(f"{path} cannot be read: {problem}.") from problem


def _open(path: Path, newline: str) -> TextIO:
    # What is not UTF-8 comes through as surrogates, so that it costs its own row and no other.
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline=newline)
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline)
