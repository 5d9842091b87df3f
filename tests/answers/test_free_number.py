from __future__ import annotations

import math

import numpy as np
import pytest

from predgen.answers.free_number import FreeNumber
from predgen.answers.infer import infer_space
from predgen.answers.places import place_weights
from predgen.answers.spaces import NumberGrid, space_from_json
from predgen.config import SpaceConfig
from predgen.errors import AnswerError

SPACE = FreeNumber(digits=4, decimals=2, negative=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [(42.0, "42"), (-3.25, "-3.25"), (0.5, "0.5"), (0.0, "0"), (-0.0, "0"), (-0.001, "0"), (9999.99, "9999.99")],
)
def test_numbers_are_written_as_people_write_them(value: float, text: str) -> None:
    assert SPACE.write(value) == text
    assert SPACE.read(text) == round(value, 2)
    assert math.copysign(1, SPACE.read(text)) == (-1 if text.startswith("-") else 1)


@pytest.mark.parametrize("text", ["042", "+4", "4.", ".5", "1e3", "", "12345", "1.234", "4 2", "forty", "--4", "٤"])
def test_other_forms_are_no_numbers(text: str) -> None:
    assert SPACE.read(text) is None


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(AnswerError, match="more than 4 digits"):
        SPACE.write(12345)
    with pytest.raises(AnswerError, match="more than 4 digits"):
        SPACE.write(9999.999)  # rounds to five
    with pytest.raises(AnswerError, match="no negative"):
        FreeNumber(4, 2, negative=False).write(-1)
    with pytest.raises(AnswerError, match="not a finite"):
        SPACE.write(math.nan)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 2, True), "0 digits"),
        ((10, 6, True), "at most 15"),
        ((4, 2, True, " "), "blank"),
        ((4, 2, True, None, 5), "need a marker"),
    ],
)
def test_impossible_spaces_are_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(AnswerError, match=message):
        FreeNumber(*arguments)


def test_the_number_stands_behind_the_last_marker() -> None:
    space = FreeNumber(4, 0, False, "####", 50)
    assert space.parse("3 + 4 = 7\n#### 7") == 7
    assert space.parse("#### 3, no: #### 7 ") == 7
    assert space.parse("7") is None
    assert space.parse("#### seven") is None
    assert SPACE.parse(" 7 ") == 7


def test_a_head_is_brought_to_numbers_that_can_be_written() -> None:
    assert SPACE.admit(np.array([41.996, -1e9, 3.14159, -0.0])).tolist() == [42.0, -9999.99, 3.14, 0.0]
    assert FreeNumber(2, 0, False).admit(np.array([-5.0, 3.4, 120.0])).tolist() == [0.0, 3.0, 99.0]


def test_json_gives_the_space_again() -> None:
    for space in (SPACE, FreeNumber(3, 0, False, "####", 12)):
        assert space_from_json(space.to_json()) == space


def test_place_weights_by_hand() -> None:
    assert place_weights("-12.5") == [4.0, 3.0, 2.0, 1.0, 1.0]


def test_what_is_too_wide_for_a_grid_is_written_freely_and_said() -> None:
    space, reason = infer_space([12.0, 250_000.0], "regression", SpaceConfig())
    assert space == FreeNumber(7, 0, False)
    assert "too many to list" in reason and "no distribution" in reason
    assert infer_space([3.0, 17.5], "regression", SpaceConfig())[0] == NumberGrid(0, 20, 1)
    assert infer_space([-3.0, 17.5], "regression", SpaceConfig(kind="free"))[0] == FreeNumber(3, 1, True)
    assert infer_space([12.0, 250_000.0], "regression", SpaceConfig(kind="grid"))[0] == NumberGrid(0, 300_000, 0)
    with pytest.raises(AnswerError, match="make 3,000,001 answers"):
        infer_space([12.0, 250_000.0], "regression", SpaceConfig(kind="grid", decimals=1))
    with pytest.raises(AnswerError, match="All 2 targets are 3"):
        infer_space([3.0, 3.0], "regression", SpaceConfig(kind="free"))
    with pytest.raises(AnswerError, match=r"row 1: .*more than 2 digits"):
        infer_space([3.0, 300.0], "regression", SpaceConfig(kind="free", digits=2))


def test_solutions_make_the_number_free() -> None:
    space, reason = infer_space([3.0, 4.0], "regression", SpaceConfig(), marker="####")
    assert space == FreeNumber(2, 0, False, "####")
    assert "worked solution" in reason
