from __future__ import annotations

import gzip
import itertools
import json
import tracemalloc
from pathlib import Path

import pytest

from predgen.data.sources import read_table
from predgen.data.stream import stream_rows
from predgen.data.table import BadRow
from predgen.errors import DataError

CSV = 'text,n\n"a ""quoted"", one",1\n\n"two\nlines",2\nthree\nfour,4\n'
TSV = CSV.replace(",", "\t")
JSONL = '{"text": "a"}\n\n[1]\n{"text": "b\\u2028c"}\nnonsense\n{"text": "d"}'


@pytest.mark.parametrize(("name", "content"), [("a.csv", CSV), ("a.tsv", TSV), ("a.jsonl", JSONL), ("a.csv.gz", CSV)])
def test_a_stream_holds_what_reading_at_once_does(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    raw = content.encode("utf-8-sig")
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    rows = list(stream_rows(path))
    assert rows == read_table(path, keep_bad=True).rows
    assert any(isinstance(row, BadRow) for row in rows) and len(rows) >= 4


def test_a_parquet_stream_holds_what_reading_at_once_does(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "a.parquet"
    rows = [{"text": f"row {number}", "n": number} for number in range(3000)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert list(stream_rows(path)) == read_table(path).rows == rows
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="cannot be read as parquet"):
        list(stream_rows(path))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_bytes_that_are_not_utf8_cost_their_own_row(tmp_path: Path, name: str) -> None:
    lines = [b"text", b"fine", b"caf\xe9", b"caf\xc3\xa9"]
    if name == "a.jsonl":
        lines = [b"", *(b'{"text": "' + line + b'"}' for line in lines[1:])]
    (tmp_path / name).write_bytes(b"\n".join(lines))
    one, two, three = stream_rows(tmp_path / name)
    assert (one, three) == ({"text": "fine"}, {"text": "café"})
    assert isinstance(two, BadRow) and two.reason == "line 3 is not UTF-8."


def test_a_header_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"caf\xe9\nfine\n")
    with pytest.raises(DataError, match="header is not UTF-8"):
        list(stream_rows(tmp_path / "a.csv"))


def test_a_damaged_archive_is_refused_when_it_comes_to_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    lines = [json.dumps({"text": f"{number} {hash(str(number))}"}) for number in range(20_000)]
    path.write_bytes(gzip.compress("\n".join(lines).encode())[:-5000])
    rows = stream_rows(path)
    assert len(list(itertools.islice(rows, 100))) == 100
    with pytest.raises(DataError, match="cannot be read"):
        list(rows)


def test_an_archive_of_other_bytes_is_refused_too(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(CSV.encode()))
    packed[10] = 0xFF  # the first byte behind the header: no compressed block begins like this
    (tmp_path / "a.csv.gz").write_bytes(packed)
    with pytest.raises(DataError, match="cannot be read"):
        list(stream_rows(tmp_path / "a.csv.gz"))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    row = "x" * 1000
    with (tmp_path / name).open("w") as file:
        file.write("text\n" if name == "a.csv" else "")
        for _ in range(20_000):
            file.write((row if name == "a.csv" else json.dumps({"text": row})) + "\n")
    tracemalloc.start()
    count = sum(1 for _ in stream_rows(tmp_path / name))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000 and peak < 2_000_000


def test_names_and_wrong_names_go_as_for_reading(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file nothing"):
        list(stream_rows("nothing"))
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"ends in '\.txt'"):
        list(stream_rows(tmp_path / "a.txt"))
