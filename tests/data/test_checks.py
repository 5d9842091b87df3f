from __future__ import annotations

import pytest

from predgen.answers.spaces import FreeNumber, LabelSet, NumberGrid
from predgen.data.checks import duplicates_across, rounded_targets, strange_targets, unseen_labels
from predgen.errors import DataError


def test_doubles_across_parts_are_counted_and_named() -> None:
    parts = {
        "training": (["a", "b", "c"], [10, 11, 12]),
        "dev": (["b", "x"], [20, 21]),
        "test": (["a", "b", "x", "y"], [30, 31, 32, 33]),
    }
    lines = duplicates_across(parts)
    assert [line.split(";")[0] for line in lines] == [
        "1 of 2 dev rows have the very text of a training row (row numbers 20 = 11)",
        "2 of 4 test rows have the very text of a training row (row numbers 30 = 10, 31 = 11)",
        "2 of 4 test rows have the very text of a dev row (row numbers 31 = 20, 32 = 21)",
    ]
    assert duplicates_across({"training": (["a"], [0]), "dev": (["b"], [1])}) == []


def test_numbers_outside_the_grid_are_said_and_unknown_labels_refused() -> None:
    grid, labels = NumberGrid(0, 5, 0), LabelSet(("good", "bad"))
    assert strange_targets(grid, [0.0, 4.6], [0, 1], "dev") == ""
    line = strange_targets(grid, [0.0, 7.0, -3.0], [4, 5, 6], "test")
    assert line.startswith("2 test rows have targets outside the grid from 0 to 5 (row 5: 7.0, row 6: -3.0)")
    with pytest.raises(DataError, match=r"1 dev rows have a label.*row 8: 'god'.*did you mean 'good'"):
        strange_targets(labels, ["good", "god"], [7, 8], "dev")


def test_labels_without_a_training_row_are_said() -> None:
    assert unseen_labels(["a", "b"], ["a"], "dev") == ""
    line = unseen_labels(["a"], ["a", "b", "b"], "dev")
    assert line == "2 dev rows have a label without a single training row: 'b'."


def test_rounded_targets_are_counted_with_the_furthest_or_refused() -> None:
    grid = NumberGrid(0, 5, 1)
    line = rounded_targets(grid, [0.1, 0.14, 4.96, 99.0], [3, 4, 5, 6], "dev", strict=False)
    assert line.startswith("2 of 4 dev targets lie between") and "row 4: 0.14, row 5: 4.96" in line
    assert "at most 0.04 off" in line
    assert rounded_targets(grid, [0.1, 0.30000000000000004], [0, 1], "dev", strict=True) == ""
    with pytest.raises(DataError, match="1 of 1 training targets"):
        rounded_targets(FreeNumber(2, 1, False), [0.25], [0], "training", strict=True)
    assert rounded_targets(LabelSet(("a", "b")), ["a"], [0], "dev", strict=True) == ""
