from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from predgen.data.sources import SOURCES, read_table
from predgen.data.table import BadRow
from predgen.errors import DataError

# The first byte behind the header of gzip: no compressed block begins like this.
# Without the time, which would be in a test's name: processes that collect them in different seconds would disagree.
_SOUND = gzip.compress(b"text,label\n", mtime=0)
DAMAGED = _SOUND[:10] + b"\xff" + _SOUND[11:]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_csv_tsv_and_jsonl_give_the_same_rows(tmp_path: Path) -> None:
    rows = [{"text": 'a "quoted", line\nbroken', "label": "yes"}, {"text": "b", "label": "no"}]
    written = [
        write(tmp_path, "a.csv", 'text,label\r\n"a ""quoted"", line\nbroken",yes\r\nb,no\r\n'),
        write(tmp_path, "a.TSV", 'text\tlabel\n"a ""quoted"", line\nbroken"\tyes\nb\tno'),
        write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n"),
        write(tmp_path, "a.jsonl.gz", gzip.compress("\n".join(map(json.dumps, rows)).encode())),
        write(tmp_path, "bom.csv", b"\xef\xbb\xbf" + b'text,label\n"a ""quoted"", line\nbroken",yes\nb,no\n'),
    ]
    for path in written:
        table = read_table(path)
        assert table.rows == rows
        assert table.columns == ("text", "label")


def test_json_keeps_its_types(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "a.jsonl", '{"y": 1.5, "ok": true}')).rows == [{"y": 1.5, "ok": True}]


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    one, same, other = (write(tmp_path, f"{n}.csv", f"a,b\n1,{v}\n") for n, v in (("x", 1), ("y", 1), ("z", 2)))
    assert read_table(one).fingerprint == read_table(same).fingerprint != read_table(other).fingerprint


def test_an_existing_file_beats_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "vader-tweets", "x")
    with pytest.raises(DataError, match="ends in 'nothing'"):  # it was taken for the file that it is
        read_table("vader-tweets")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "text,label\n", "no rows"),
        ("a.csv", "text,label\na,b\nc\n", "line 3 has 1 fields; the header has 2"),
        ("a.csv", 'text,label\n"a,b\nc,d\n', "line 2 is malformed"),
        ("a.csv", "text,text\na,b\n", "twice: \\['text'\\]"),
        ("a.csv", "text,\na,b\n", "Column 2 of the header has no name"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', "line 2 is not JSON"),
        ("a.jsonl", '{"a": 1}\n\n[1]\n', "line 3 holds a list"),
        ("a.csv", b"text,label\nok,1\n\xff,2\n", "not UTF-8: byte 0xff on line 3"),
        ("a.xlsx", "x", "ends in '.xlsx'"),
        ("a.csv.gz", b"not gzip", "cannot be read"),
        ("a.csv.gz", DAMAGED, "cannot be read"),
        ("a.jsonl", '{"a": ' + "1" * 5000 + "}", "line 1 cannot be read: Exceeds the limit"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_table(write(tmp_path, name, content))


def test_missing_files_and_unknown_names_list_what_is_known() -> None:
    with pytest.raises(DataError, match="did you mean 'vader-tweets'"):
        read_table("vader-tweet")
    with pytest.raises(DataError, match="is a folder"):
        read_table("/")


def test_bad_rows_can_be_kept_in_their_places(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a.jsonl", '{"a": 1}\nnonsense\n{"a": 3}\n'), keep_bad=True)
    assert table.rows[0] == {"a": 1}
    assert isinstance(table.rows[1], BadRow)
    assert (table.rows[1].number, "line 2" in table.rows[1].reason) == (1, True)
    assert table.good_rows == [{"a": 1}, {"a": 3}]


@pytest.mark.model
@pytest.mark.parametrize("name", sorted(SOURCES))
def test_named_sources_hold_what_they_say(name: str) -> None:
    table = read_table(name)
    assert len(table.rows) == SOURCES[name].rows
    assert table.columns == ("id", "text", "rating", "polarity")
    assert all(-4 <= row["rating"] <= 4 and row["text"] for row in table.good_rows)
    assert {row["polarity"] for row in table.good_rows} == {"positive", "negative"}
