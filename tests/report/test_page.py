"""Every kind of block, with texts that would break a page that does not escape them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest

from predgen.report import write
from predgen.report.blocks import (
    Block,
    Case,
    Cases,
    Chapter,
    Code,
    Facts,
    Figure,
    Figures,
    Key,
    Listing,
    Notice,
    Page,
    Paragraph,
    Section,
    Table,
    Tile,
    Word,
    WordMap,
)
from predgen.report.charts.lines import Line, line_chart
from predgen.report.material import Wanted
from predgen.report.text import shown
from predgen.report.write import render_page

EVIL = shown("</style></svg><script>alert(1)</script>\x00\u202e<img src=http://x onerror=y>'\" {{ 7*7 }} {% raw %}")
TABLE = Table(EVIL, (EVIL, EVIL), [(EVIL, EVIL), (EVIL, f"1\n{EVIL}")], strong=[1])
FIGURE = Figure(
    EVIL, line_chart([Line(EVIL, [0, 1], [0, 1])], (EVIL, EVIL), EVIL, EVIL), [Key("s1", EVIL)], EVIL, TABLE
)
PAIRS = [(EVIL, EVIL)]
BLOCKS: list[Block] = [
    Paragraph(EVIL), Notice(EVIL, EVIL), Listing([EVIL], EVIL), Facts(PAIRS), TABLE, FIGURE, Figures([FIGURE, TABLE]),
    Cases([Case(EVIL, PAIRS, EVIL)]), WordMap(EVIL, PAIRS, [Word(EVIL, 0.5, True, EVIL)], TABLE), Code(EVIL, EVIL),
    Code(EVIL, EVIL, folded=True),
]  # fmt: skip


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.names, self.text = set[str](), set[str](), ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def strings(value: Any) -> Iterator[str]:
    """Every text of nested blocks, SVG left out."""
    if is_dataclass(value):
        for field in fields(value):
            if field.name not in ("svg", "mark"):
                yield from strings(getattr(value, field.name))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from strings(each)
    elif isinstance(value, str):
        yield value


def test_whatever_stands_in_a_block_is_text() -> None:
    assert {type(block) for block in BLOCKS} == set(get_args(Block))
    chapter = Chapter(EVIL, [Section(EVIL, BLOCKS, EVIL)])
    page = Page(EVIL, EVIL, [EVIL], [Tile(EVIL, EVIL, EVIL)], [Notice(EVIL)], [chapter], EVIL)
    html = render_page(page)
    reader = Reader()
    reader.feed(html)
    assert not reader.tags & {"script", "img"}
    assert not reader.names & {"src", "onerror"}
    assert html.count("</style>") == 1 and html.count("</svg>") == html.count("<svg") == 2
    assert "49" not in reader.text and "{{ 7*7 }}" in reader.text
    assert "\x00" not in html and "\u202e" not in html
    # Every text is there, and as it is: escaped once, not twice.
    wanted = sum(text.count(EVIL) for text in strings(page))
    assert reader.text.count(EVIL) >= wanted - 1  # a word's number is its tip
    assert "&amp;lt;" not in html


def test_svg_inside_of_the_page_is_still_svg() -> None:
    html = render_page(Page("t", "s", [], [], [], [Chapter("", [Section("a", [FIGURE])])]))
    svg = html[html.index("<svg") : html.index("</svg>") + 6]
    assert ElementTree.fromstring(svg)[0].text == EVIL


def test_the_style_sheet_is_of_this_page_alone() -> None:
    html = render_page(Page("t", "s", [], [], [], []))
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style and "@import" not in style and "prefers-color-scheme: dark" in style
    assert "default-src 'none'" in html


def test_half_a_character_does_not_cost_the_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = Page("title", "r\udce9sum\udce9.csv", [], [], [], [Chapter("", [])])
    monkeypatch.setattr(write, "gather", lambda *arguments: None)
    monkeypatch.setattr(write, "assemble", lambda *arguments: page)
    path = tmp_path / "report.html"
    write.write_report(tmp_path, lambda: None, path, Wanted(), "predgen report", print)  # type: ignore[arg-type, return-value]
    assert "r?sum?.csv" in path.read_text(encoding="utf-8")
