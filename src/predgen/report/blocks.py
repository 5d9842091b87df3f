"""What a section is made of. The template knows how each kind of block looks; nothing else writes HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of prose."""

    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Notice:
    """What a reader must not overlook: a leak, a part that is not there."""

    kind: ClassVar[str] = "notice"
    text: str
    title: str = ""


@dataclass(frozen=True)
class Listing:
    """Sentences below one another."""

    kind: ClassVar[str] = "listing"
    lines: Sequence[str]
    title: str = ""


@dataclass(frozen=True)
class Facts:
    """Names and what they stand for."""

    kind: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        caption: What it shows.
        columns: Headings.
        rows: As many cells each.
        words: So many leading columns hold words; the others hold numbers, and stand to the right.
        strong: The rows that stand out.
        folded: Whether it is shown on demand, as one beside a chart is.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    strong: Sequence[int] = ()
    folded: bool = False


@dataclass(frozen=True)
class Key:
    """One entry of a chart's legend.

    Args:
        mark: The style sheet's class of the series: "s1", "s2", ….
        name: What it is.
    """

    mark: str
    name: str


@dataclass(frozen=True)
class Figure:
    """A chart with what belongs to it.

    Args:
        title: What it shows.
        svg: Drawn by `charts`.
        keys: Its legend; empty for one series.
        note: How to read it.
        table: The same numbers, for those who do not see it.
    """

    kind: ClassVar[str] = "figure"
    title: str
    svg: Markup
    keys: Sequence[Key] = ()
    note: str = ""
    table: Table | None = None


@dataclass(frozen=True)
class Figures:
    """Charts, and tables that belong to them, side by side where there is room."""

    kind: ClassVar[str] = "figures"
    figures: Sequence[Figure | Table]


@dataclass(frozen=True)
class Case:
    """One row.

    Args:
        text: As the prompt shows it, made safe by `shown`.
        pairs: What is known of it.
        flag: A short remark, if there is one.
    """

    text: str
    pairs: Sequence[tuple[str, str]]
    flag: str = ""


@dataclass(frozen=True)
class Cases:
    """Rows with their texts."""

    kind: ClassVar[str] = "cases"
    cases: Sequence[Case]


@dataclass(frozen=True)
class Word:
    """One word of a map.

    Args:
        text: As it stands in the prompt.
        strength: In [0, 1], a share of the strongest word's.
        against: Whether it speaks against the answer.
        value: Its number.
    """

    text: str
    strength: float
    against: bool
    value: str


@dataclass(frozen=True)
class WordMap:
    """A text whose words are shaded by what they have to do with the answer.

    Args:
        title: Which row it is.
        pairs: What is known of it.
        words: In order.
        table: The strongest words with their numbers.
    """

    kind: ClassVar[str] = "map"
    title: str
    pairs: Sequence[tuple[str, str]]
    words: Sequence[Word]
    table: Table


@dataclass(frozen=True)
class Code:
    """Text to be copied."""

    kind: ClassVar[str] = "code"
    title: str
    text: str
    folded: bool = False


Block = Paragraph | Notice | Listing | Facts | Table | Figure | Figures | Cases | WordMap | Code


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading.

    Args:
        title: The heading.
        blocks: In order.
        lead: One sentence that says what is found here.
    """

    title: str
    blocks: Sequence[Block]
    lead: str = ""


@dataclass(frozen=True)
class Tile:
    """One figure at the top of the page."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Chapter:
    """Sections that belong together: those of one answer, where a row is given several.

    Args:
        title: Empty where there is but one answer.
        sections: In order.
    """

    title: str
    sections: Sequence[Section]


@dataclass(frozen=True)
class Page:
    """All that the template is given.

    Args:
        title: Of the page.
        subtitle: Under it.
        verdict: What the report comes down to, in a sentence or two.
        tiles: Its main figures.
        notices: What concerns all of it.
        chapters: In order.
        made: When, and by what.
    """

    title: str
    subtitle: str
    verdict: Sequence[str]
    tiles: Sequence[Tile]
    notices: Sequence[Notice]
    chapters: Sequence[Chapter]
    made: str = ""
