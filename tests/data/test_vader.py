from __future__ import annotations

import pytest

from predgen.data.vader import parse_ratings
from predgen.errors import DownloadError


def test_ratings_are_latin_1_lines_with_tabs() -> None:
    content = "1\t-0.55\tCaf\u00e9 \t was shut\r\n2\t0\tfine\r\n".encode("latin-1")
    assert parse_ratings(content) == [
        {"id": "1", "text": "Café \t was shut", "rating": -0.55, "polarity": "negative"},
        {"id": "2", "text": "fine", "rating": 0.0, "polarity": "positive"},
    ]


def test_a_line_of_another_form_is_refused() -> None:
    with pytest.raises(DownloadError, match="Line 2"):
        parse_ratings(b"1\t0.5\tfine\n<html>\n")
