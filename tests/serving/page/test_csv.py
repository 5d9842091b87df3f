"""CSV as the page reads and writes it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.browser
Visits = Callable[..., Any]
CSV_CASES = [
    ("a,b\n1,2\n", [["a", "b"], ["1", "2"]]),
    ("\ufeffa,b\r\n1,2", [["a", "b"], ["1", "2"]]),
    ('a\r"x ""y"", z\r\nw"\r', [["a"], ['x "y", z\r\nw']]),
    ("a,b\n,\n\n \n1,\n", [["a", "b"], ["", ""], ["1", ""]]),
    ('a;b\n"1;2";3,4\n', [["a", "b"], ["1;2", "3,4"]]),
    ('a\tb\n1\t"2\t"\n', [["a", "b"], ["1", "2\t"]]),
    ('a,b\n1,in "quotes" here\n"x"y,2\n', [["a", "b"], ["1", 'in "quotes" here'], ["xy", "2"]]),
    ('"a\nb",c\n1,2\n3\n4,5,,\n', [["a\nb", "c"], ["1", "2"], ["3", ""], ["4", "5"]]),
]
CSV_PROBLEMS = [
    ("", "The file is empty."),
    ("a,b\n", "no rows below it"),
    ("a,a\n1,2\n", 'The column "a" is there twice.'),
    (",\n1,2\n", "names no columns"),
    ('a\n"x\ny', "The quote that opens on line 2 is never closed."),
    ("a,b\n1,2\n1,2,3\n", "line 3 has 3 fields, the header 2"),
]
GUARDED = [
    ("=1+1", "'=1+1"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"), ("-2+3", "'-2+3"), ("@SUM(A1)", "'@SUM(A1)"),
    ("  =1", "'  =1"), ("\t=1", "'\t=1"), ("＝1", "'＝1"), ("-1.5", "-1.5"), ("+3", "+3"), ("1e-3", "1e-3"),
    ("-", "'-"), ("a=1", "a=1"), ("", ""),
]  # fmt: skip


def test_csv_is_read_and_written(visit: Visits, origin: str) -> None:
    page = visit(origin).page
    read = """async text => { const csv = await import('/assets/csv.js');
        try { const found = csv.readTable(text); return [found.columns, ...found.rows]; }
        catch (problem) { if (!(problem instanceof csv.CsvProblem)) throw problem; return problem.message; } }"""
    for text, wanted in CSV_CASES:
        assert page.evaluate(read, text) == wanted, text
    for text, message in CSV_PROBLEMS:
        assert message in page.evaluate(read, text), text
    guard = "async cell => (await import('/assets/csv.js')).guarded(cell)"
    for cell, wanted in GUARDED:
        assert page.evaluate(guard, cell) == wanted
    rows = [["a", 'q"uote', "line\r\nbreak"], [" space", "semi;colon", "ünï 👍"], ["", "plain", "1.5"]]
    written = page.evaluate("async rows => (await import('/assets/csv.js')).writeTable(rows)", rows)
    assert list(csv.reader(io.StringIO(written[1:], newline=""))) == rows
    decode = """async bytes => { const csv = await import('/assets/csv.js');
        try { return csv.decodeBytes(new Uint8Array(bytes).buffer); } catch (problem) { return problem.message; } }"""
    assert page.evaluate(decode, list("é,b".encode("utf-16"))) == "é,b"
    assert "not in UTF-8" in page.evaluate(decode, list("é,b".encode("latin-1")))
