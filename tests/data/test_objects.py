from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import datasets
import pandas
import pyarrow
import pyarrow.parquet
import pytest

from predgen.data.objects import table_of
from predgen.data.sources import read_table
from predgen.errors import DataError

ROWS = [{"text": "a", "y": 1.5}, {"text": "b", "y": 2.0}]


def test_all_kinds_give_the_same_rows(tmp_path: Path) -> None:
    frame, dataset = pandas.DataFrame(ROWS), datasets.Dataset.from_list(ROWS)
    frame.to_parquet(tmp_path / "rows.parquet")
    dataset.save_to_disk(tmp_path / "saved")
    tables = [
        table_of(frame),
        table_of(dataset),
        table_of(dataset.to_iterable_dataset()),
        table_of(ROWS),
        table_of(dict(row) for row in ROWS),
        read_table(tmp_path / "rows.parquet"),
        read_table(tmp_path / "saved"),
        read_table(frame),
    ]
    for table in tables:
        assert table.good_rows == ROWS
        assert table.columns == ("text", "y")
    assert len({table.fingerprint for table in tables[:5]}) == 1
    assert tables[5].name == str(tmp_path / "rows.parquet")


class PolarsLike:
    """As a polars frame is: it has columns and to_dict too, which takes no "records"."""

    columns = ("text", "y")

    def to_dict(self, *, as_series: bool = True) -> dict[str, list[object]]:
        return {}

    def iter_rows(self, *, named: bool = False) -> Iterator[dict[str, object]]:
        assert named
        yield from ROWS


def test_polars_frames_are_read_row_by_row() -> None:
    assert table_of(PolarsLike()).good_rows == ROWS


def test_columns_of_one_name_are_refused_as_in_a_csv_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"The DataFrame names these columns twice: \['y'\]"):
        table_of(pandas.DataFrame([["a", 1, 2]], columns=["text", "y", "y"]))
    twice = pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["y", "y"])
    pyarrow.parquet.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(DataError, match=r"twice.parquet names these columns twice"):
        read_table(tmp_path / "twice.parquet")


def test_a_source_without_an_end_is_taken_up_to_a_limit() -> None:
    endless = ({"text": str(number), "y": number} for number in itertools.count())
    assert len(table_of(endless, limit=7).rows) == 7
    assert len(table_of(ROWS, limit=1).rows) == 2  # what has a length is sampled later


def test_what_holds_no_rows_is_refused(tmp_path: Path) -> None:
    for data, words in (
        ([], "holds no rows"),
        ([{"a": 1}, 3], "Row 1 of the list is a int"),
        (5, "cannot be taken from a int"),
        ({"a": 1}, "cannot be taken from a dict"),
    ):
        with pytest.raises(DataError, match=words):
            table_of(data)
    (tmp_path / "bad.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        read_table(tmp_path / "bad.parquet")
    datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)}).save_to_disk(tmp_path / "splits")
    with pytest.raises(DataError, match=r"splits \['train'\].*Name one: .*splits/train"):
        read_table(tmp_path / "splits")
    assert read_table(tmp_path / "splits" / "train").good_rows == ROWS
