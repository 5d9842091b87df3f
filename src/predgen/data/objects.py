"""Rows that are in memory already, or come one by one: data frames, `datasets`, and anything that yields mappings."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from predgen.data.formats import refuse_twice
from predgen.data.table import BadRow, Row, Table
from predgen.errors import DataError

# What `fit` and others take besides the name of a source.
RowsInMemory = Iterable[Mapping[str, Any]] | Any  # a pandas or polars frame is no iterable of rows, but is taken too


def table_of(data: RowsInMemory, limit: int | None = None) -> Table:
    """Reads rows from an object.

    Args:
        data: A pandas DataFrame, a polars one, a `datasets` Dataset or IterableDataset, or any iterable of mappings,
            a generator too.
        limit: Of a source that has no length, take only so many of its first rows: it may never end.

    Raises:
        DataError: If it is none of these, holds no rows, or a row is no mapping.
    """
    rows = list(itertools.islice(_rows_of(data), None if hasattr(data, "__len__") else limit))
    name = type(data).__name__
    if not rows:
        raise DataError(f"The {name} holds no rows.", "Expected at least one row.")
    columns: dict[str, None] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(
                f"Row {number} of the {name} is a {type(row).__name__}.", "Expected a mapping of columns to values."
            )
        columns.update(dict.fromkeys(row))
    kept: list[Row | BadRow] = [dict(row) for row in rows]
    return Table(name, kept, tuple(columns), fingerprint_of(kept))


def fingerprint_of(rows: Iterable[Any]) -> str:
    """SHA-256 over the rows' content."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, ensure_ascii=False, default=str).encode())
    return digest.hexdigest()


def is_saved_dataset(folder: Path) -> bool:
    """Whether ``Dataset.save_to_disk`` wrote a folder."""
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def read_saved_dataset(folder: Path) -> Table:
    """A folder that ``Dataset.save_to_disk`` wrote.

    Raises:
        DataError: If it is none, or holds several splits.
    """
    from datasets import DatasetDict, load_from_disk

    try:
        saved = load_from_disk(str(folder))
    except (OSError, ValueError) as problem:
        raise DataError(f"{folder} is a folder, and no saved dataset: {problem}.") from problem
    if isinstance(saved, DatasetDict):
        raise DataError(f"{folder} holds the splits {sorted(saved)}.", remedy=f"Name one: {folder}/{sorted(saved)[0]}.")
    return table_of(saved)


def read_parquet(path: Path) -> list[Row]:
    """The rows of a parquet file.

    Raises:
        DataError: If it cannot be read.
    """
    return list(parquet_rows(path))


def parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a parquet file, one by one, in constant memory.

    Raises:
        DataError: If it cannot be read.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            refuse_twice(file.schema_arrow.names, str(path))
            for batch in file.iter_batches(batch_size=1024):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as problem:
        raise DataError(f"{path} cannot be read as parquet: {str(problem).splitlines()[0]}") from problem


def _rows_of(data: RowsInMemory) -> Iterable[Any]:
    if hasattr(data, "iter_rows"):  # polars, whose to_dict is another than pandas'
        named: Iterable[Any] = data.iter_rows(named=True)
        return named
    if hasattr(data, "to_dict") and hasattr(data, "columns"):  # pandas
        refuse_twice(list(data.columns), f"The {type(data).__name__}")
        records: list[Any] = data.to_dict("records")
        return records
    if isinstance(data, str | bytes | Mapping) or not hasattr(data, "__iter__"):
        raise DataError(
            f"Rows cannot be taken from a {type(data).__name__}.",
            "Expected a DataFrame, a Dataset, or an iterable of mappings.",
        )
    each: Iterable[Any] = data
    return each
