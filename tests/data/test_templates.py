from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest

from predgen.data.templates import render, template_fields
from predgen.errors import DataError


def test_fields_are_filled_and_braces_doubled() -> None:
    template = "{{{first name}}} says: {text}"
    assert template_fields(template) == ["first name", "text"]
    assert render(template, {"first name": "Ada", "text": " {not a field} "}) == "{Ada} says: {not a field}"


def test_nothing_but_names_is_interpreted() -> None:
    with pytest.raises(DataError, match=r"no column 'text.__class__'"):
        render("{text.__class__}", {"text": "a"})


@pytest.mark.parametrize("template", ["{open", "lone } brace", "{}", "{a{b}}"])
def test_malformed_templates_are_refused(template: str) -> None:
    with pytest.raises(DataError, match="template"):
        template_fields(template)


def test_missing_columns_and_empty_rows_are_named() -> None:
    with pytest.raises(DataError, match=r"Row 7 has no column 'txet'.*did you mean 'text'"):
        render("{txet}", {"text": "a"}, 7)
    with pytest.raises(DataError, match="Row 3 is empty: nothing in 'a', 'b'"):
        render("{a} {b}", {"a": " ", "b": None}, 3)
    assert render("{a}/{b}", {"a": "x", "b": None}) == "x/"


@pytest.mark.parametrize("nothing", [float("nan"), np.float32("nan"), pandas.NA, pandas.NaT])
def test_what_a_frame_has_for_nothing_is_empty(nothing: Any) -> None:
    assert render("{a}/{b}", {"a": "x", "b": nothing}) == "x/"
    with pytest.raises(DataError, match="Row 3 is empty"):
        render("{a}", {"a": nothing}, 3)


def test_half_a_character_costs_its_own_row() -> None:
    with pytest.raises(DataError, match=r"Row 3 holds '\\ud800', half of a surrogate pair"):
        render("{text}", {"text": "fine \ud800"}, 3)
    assert render("{text}", {"text": "\U0001f44d"}) == "\U0001f44d"
