from __future__ import annotations

import pytest

from predgen.report.text import between, brief, count, fixed, number, percent, short, shown


def test_a_long_text_is_cut_and_the_rest_counted() -> None:
    cut = shown("x" * 100_000)
    assert cut.startswith("x" * 600) and cut.endswith("… (99,400 more characters)")
    assert len(cut) < 650
    assert shown("x" * 600) == "x" * 600


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a\x00b", "a[U+0000]b"),
        ("\x1b[31m\x7f\x85", "[U+001B][31m[U+007F][U+0085]"),
        ("\u202eevil\u202c \u2066x\u2069", "[U+202E]evil[U+202C] [U+2066]x[U+2069]"),
        ("half \ud800 pair", "half � pair"),
        ("no character \ufffe \ufdd0 \U0001ffff", "no character � � �"),
        ("line\n\ttab", "line\n\ttab"),
        ("שלום\u200f é 👍🏽", "שלום\u200f é 👍🏽"),
        ("<script>&amp;", "<script>&amp;"),  # escaping is the template's
    ],
)
def test_what_a_page_cannot_hold_is_shown_by_its_code(text: str, safe: str) -> None:
    assert shown(text) == safe
    shown(text).encode("utf-8")


def test_short_is_one_line() -> None:
    assert short("one\ntwo   three") == "one two three"
    assert short("a" * 50, 10) == "a" * 9 + "…"


def test_numbers_in_words() -> None:
    assert [number(v) for v in (0.0, 1234.5, 0.01234, -2.0, 1e9, 1e-7, None, float("nan"))] == [
        "0", "1,234", "0.0123", "−2.00", "1.00e+09".replace("-", "−"), "1.00e−07", "–", "–",
    ]  # fmt: skip
    assert [brief(v) for v in (2.7, -0.1, 3.0, 1959.0, 1.23456)] == ["2.7", "−0.1", "3", "1,959", "1.235"]
    assert (fixed(-0.5), fixed(-0.0001), fixed(None), fixed(12345.6)) == ("−0.500", "0.000", "–", "12,346")
    assert (percent(0.912), percent(0.9125, 1), percent(None)) == ("91%", "91.2%", "–")
    assert between(0.1, 0.25) == "0.100 to 0.250"
    assert (count(1, "row"), count(1200, "row"), count(2, "class", "classes")) == ("1 row", "1,200 rows", "2 classes")
