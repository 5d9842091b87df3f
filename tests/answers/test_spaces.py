from __future__ import annotations

import math

import pytest

from predgen.answers.spaces import LabelSet, NumberGrid, space_from_json
from predgen.errors import AnswerError


def test_a_signed_grid_writes_every_number_with_its_sign() -> None:
    grid = NumberGrid(-4, 4, 1)
    assert len(grid) == 81
    assert (grid.texts[0], grid.texts[40], grid.texts[80]) == ("-4.0", "+0.0", "+4.0")
    assert grid.values[39] == -0.1


def test_an_unsigned_grid_writes_no_sign_and_integers_no_point() -> None:
    assert NumberGrid(0, 1, 2).texts[5] == "0.05"
    assert NumberGrid(1, 12, 0).texts == tuple(str(number) for number in range(1, 13))


@pytest.mark.parametrize(
    "grid", [NumberGrid(-4, 4, 1), NumberGrid(0, 5, 2), NumberGrid(-0.3, 0.3, 3), NumberGrid(90, 110, 0)]
)
def test_value_text_and_index_go_round(grid: NumberGrid) -> None:
    for index, (value, text) in enumerate(zip(grid.values, grid.texts, strict=True)):
        assert float(text) == pytest.approx(value, abs=1e-12)
        assert grid.index(value) == index
        assert grid.parse(text) == index


@pytest.mark.parametrize(
    ("value", "text"), [(2.726, "+2.7"), (-0.04, "+0.0"), ("3.96", "+4.0"), (4.04, "+4.0"), (-0.0, "+0.0")]
)
def test_targets_go_to_the_nearest_grid_point(value: object, text: str) -> None:
    grid = NumberGrid(-4, 4, 1)
    assert grid.texts[grid.index(value)] == text


@pytest.mark.parametrize("text", ["", "2.7", "+2.70", "+2.7 stars", "+9.9", "1e0", "+2.7 +2.8", "nan"])
def test_text_outside_the_grid_is_none(text: str) -> None:
    assert NumberGrid(-4, 4, 1).parse(text) is None


@pytest.mark.parametrize("value", [4.06, "high", None, math.nan, math.inf])
def test_targets_outside_the_grid_are_refused(value: object) -> None:
    with pytest.raises(AnswerError):
        NumberGrid(-4, 4, 1).index(value)


def test_grids_that_make_no_sense_are_refused() -> None:
    with pytest.raises(AnswerError, match="empty"):
        NumberGrid(4, 4, 1)
    with pytest.raises(AnswerError, match=r"step is 0\.1"):
        NumberGrid(-4.05, 4, 1)
    with pytest.raises(AnswerError, match="step is 1"):
        NumberGrid(1_000_000.4, 1_000_100, 0)  # large numbers, too
    assert len(NumberGrid(123_456_789.1, 123_456_789.9, 1)) == 9
    with pytest.raises(AnswerError, match="points"):
        NumberGrid(0, 1000, 6)
    with pytest.raises(AnswerError, match="finite"):
        NumberGrid(0, math.inf, 0)


def test_place_weights_fall_from_the_sign_to_the_last_decimal() -> None:
    grid = NumberGrid(-20, 20, 1)
    #                                     +    1    3    .    4
    assert grid.character_weights(grid.index(13.4)) == [4.0, 3.0, 2.0, 1.0, 1.0]
    assert NumberGrid(0, 120, 0).character_weights(120) == [3.0, 2.0, 1.0]


def test_labels_ignore_outer_blanks_and_are_found_again() -> None:
    labels = LabelSet((" yes ", "no"))
    assert labels.texts == ("yes", "no")
    assert labels.index(" no") == 1
    assert labels.parse("yes ") == 0
    assert labels.parse("maybe") is None
    with pytest.raises(AnswerError, match="did you mean 'yes'"):
        labels.index("yess")


@pytest.mark.parametrize(("labels", "words"), [(("only",), "1 class"), (("a", "a "), "twice"), (("a", " "), "empty")])
def test_label_sets_that_make_no_sense_are_refused(labels: tuple[str, ...], words: str) -> None:
    with pytest.raises(AnswerError, match=words):
        LabelSet(labels)


@pytest.mark.parametrize("space", [LabelSet(("b", "a")), NumberGrid(-1, 1, 2)])
def test_spaces_survive_json(space: LabelSet | NumberGrid) -> None:
    assert space_from_json(space.to_json()) == space


def test_unknown_json_is_refused() -> None:
    with pytest.raises(AnswerError, match="unknown kind"):
        space_from_json({"kind": "poem"})
    with pytest.raises(AnswerError, match="incomplete"):
        space_from_json({"kind": "numbers", "low": 0})
