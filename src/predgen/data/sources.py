"""Rows in: files, data sets known by name, and rows that are in memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from predgen.data.formats import delimited, json_lines
from predgen.data.objects import (
    RowsInMemory,
    fingerprint_of,
    is_saved_dataset,
    read_parquet,
    read_saved_dataset,
    table_of,
)
from predgen.data.table import BadRow, Row, Table
from predgen.data.tasks import TASKS
from predgen.data.tasks.rows import read_task, task_source
from predgen.data.vader import REQUIREMENT, load_vader
from predgen.downloads import sha256_of
from predgen.errors import DataError, nearest


@dataclass(frozen=True)
class NamedSource:
    """A data set known by name.

    Args:
        name: What the user types.
        description: In a few words.
        rows: How many.
        licence: Of the data.
        origin: Where it comes from.
        text_column: The text.
        target_column: The default target.
        load: Name → rows.
    """

    name: str
    description: str
    rows: int
    licence: str
    origin: str
    text_column: str
    target_column: str
    load: Callable[[str], list[Row]]


def _vader(name: str, description: str, rows: int) -> NamedSource:
    return NamedSource(name, description, rows, "MIT", REQUIREMENT, "text", "rating", load_vader)


SOURCES: dict[str, NamedSource] = {
    source.name: source
    for source in (
        _vader("vader-tweets", "tweets, mean sentiment of 20 raters, −4 to +4; or polarity", 4200),
        _vader("vader-movies", "film review snippets, rated likewise", 10605),
        _vader("vader-products", "product review snippets, rated likewise", 3708),
        _vader("vader-editorials", "newspaper editorial snippets, rated likewise", 5190),
    )
}

_EXTENSIONS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


def read_table(
    source: str | Path | RowsInMemory,
    keep_bad: bool = False,
    limit: int | None = None,
    root: str | Path | None = None,
) -> Table:
    """Reads all rows of a source.

    Args:
        source: A csv, tsv, jsonl or ndjson file (each also gzipped, ``.gz``), a parquet file, a folder that
            ``Dataset.save_to_disk`` wrote, or the name of a known data set, or of a task, with a split behind it
            (``stsb/test``) or its training rows. What exists wins over a name. Or rows in memory, as `table_of` takes
            them.
        keep_bad: Whether a malformed row becomes a `BadRow` instead of an error.
        limit: As `table_of` takes it.
        root: A folder of data that tasks are read from; None: as the environment names it.

    Raises:
        DataError: If there is no such file or name, or the file is empty, malformed, or of an unknown kind.
    """
    if not isinstance(source, str | Path):
        return table_of(source, limit)
    path = Path(source).expanduser()
    task = task_source(str(source))
    if task is not None:
        return read_task(*task, root)
    if path.is_dir():
        if not is_saved_dataset(path):
            raise DataError(f"{source} is a folder.", f"Expected a file ({', '.join(_EXTENSIONS)}) or a saved dataset.")
        return replace(read_saved_dataset(path), name=str(source))
    if not path.exists():
        if str(source) not in SOURCES:
            raise DataError(
                f"There is no file {source}, and no data set of that name:", nearest(str(source), [*SOURCES, *TASKS])
            )
        return _named_table(SOURCES[str(source)])
    kind = file_kind(path)
    if kind == ".parquet":
        return replace(table_of(read_parquet(path)), name=str(source), fingerprint=sha256_of(path))
    content, text = _read_text(path)
    if not text.strip():
        raise DataError(f"{source} is empty.", "Expected at least one row.")
    if kind in (".jsonl", ".ndjson"):
        read = json_lines(io.StringIO(text, newline="\n"))
    else:
        read = delimited(io.StringIO(text, newline=""), "\t" if kind == ".tsv" else ",")
    rows: list[Row | BadRow] = []
    columns: dict[str, None] = {}
    for row in read:
        if isinstance(row, BadRow):
            if not keep_bad:
                raise DataError(f"{source}, {row.reason}", remedy="Mend or remove the line.")
        else:
            columns.update(dict.fromkeys(row))
        rows.append(row)
    if not rows:
        raise DataError(f"{source} has a header but no rows.", "Expected at least one row.")
    return Table(str(source), rows, tuple(columns), hashlib.sha256(content).hexdigest())


def file_kind(path: Path) -> str:
    """How the file's name ends, in lower case and without ``.gz``.

    Raises:
        DataError: If that is no format that is read.
    """
    kind = path.suffix.lower() if path.suffix.lower() != ".gz" else Path(path.stem).suffix.lower()
    if kind not in _EXTENSIONS:
        raise DataError(
            f"{path} ends in {kind or 'nothing'!r}.", f"Expected {', '.join(_EXTENSIONS)}, or one of them with .gz."
        )
    return kind


def _named_table(source: NamedSource) -> Table:
    rows = source.load(source.name)
    return Table(source.name, [*rows], tuple(rows[0]), fingerprint_of(rows), source.text_column, source.target_column)


def _read_text(path: Path) -> tuple[bytes, str]:
    try:
        content = path.read_bytes()
        raw = gzip.decompress(content) if path.suffix.lower() == ".gz" else content
    except (OSError, EOFError, zlib.error) as problem:
        raise DataError(f"{path} cannot be read: {problem}.") from problem
    try:
        return content, raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw[: problem.start].count(b"\n") + 1
        raise DataError(
            f"{path} is not UTF-8: byte {raw[problem.start]:#x} on line {line}.", remedy="Save it as UTF-8."
        ) from problem
