from __future__ import annotations

import pytest

from predgen.answers.infer import infer_space
from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.config import SpaceConfig
from predgen.errors import AnswerError

FREE = SpaceConfig()


def test_labels_are_sorted_and_counted() -> None:
    space, reason = infer_space(["b", "a", "b"], "classification", FREE)
    assert space == LabelSet(("a", "b"))
    assert reason == "Answers: 2 labels ('b' ×2, 'a' ×1)."
    assert infer_space(["10", "9", "2"], "classification", FREE)[0] == LabelSet(("2", "9", "10"))
    # Labels that spell one number, too, stand in one order, whatever the order of a set.
    alike = [f"{'0' * zeros}7" for zeros in range(9)]
    assert infer_space(alike, "classification", FREE)[0] == LabelSet(tuple(sorted(alike)))


@pytest.mark.parametrize(
    ("targets", "grid"),
    [
        ([-3.85, 0.123456789, 3.7], NumberGrid(-4, 4, 1)),  # tweets: 801 points with two decimals are too many
        ([0.019, 0.98, 0.5], NumberGrid(0, 1, 2)),
        ([0.0, 2.5, 5.0], NumberGrid(0, 5, 1)),
        ([3.0, 17.0], NumberGrid(0, 20, 0)),
        ([1.0, 1900.0], NumberGrid(0, 2000, 0)),
        ([0.2, 0.9], NumberGrid(0.2, 0.9, 1)),
        ([0.001, 0.002], NumberGrid(0.001, 0.002, 3)),
    ],
)
def test_grids_hold_the_targets_and_stay_small(targets: list[float], grid: NumberGrid) -> None:
    assert infer_space(targets, "regression", FREE)[0] == grid


def test_dropped_decimals_are_told() -> None:
    reason = infer_space([-3.85, 3.7, 0.123456789], "regression", FREE)[1]
    assert "81 numbers from -4.0 to +4.0 in steps of 0.1" in reason
    assert "targets run from -3.85 to 3.7; 9 decimals seen, 1 kept" in reason


def test_settings_win() -> None:
    space = infer_space([0.2, 0.7], "regression", SpaceConfig(low=0, high=1, decimals=2))[0]
    assert space == NumberGrid(0, 1, 2)
    assert infer_space(["a", "b"], "classification", SpaceConfig(labels=("b", "a", "c")))[0].texts == ("b", "a", "c")


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(AnswerError, match=r"1 class: \['a'\]"):
        infer_space(["a", "a"], "classification", FREE)
    with pytest.raises(AnswerError, match="'c' is not in this space"):
        infer_space(["a", "c"], "classification", SpaceConfig(labels=("a", "b")))
    with pytest.raises(AnswerError, match="All 2 targets are 3"):
        infer_space([3.0, 3.0], "regression", FREE)
    assert len(infer_space([1000.0, 9999.0], "regression", SpaceConfig(kind="grid"))[0]) == 9001
    with pytest.raises(AnswerError, match="make 10,000,001 answers"):
        infer_space([1000.0, 9_999_999.0], "regression", SpaceConfig(kind="grid"))
    with pytest.raises(AnswerError, match=r"0\.05 does not lie on a grid with 1 decimals"):
        infer_space([0.1, 0.2], "regression", SpaceConfig(low=0.05, high=1, decimals=1))
    with pytest.raises(AnswerError, match="outside the grid"):
        infer_space([0.0, 2.0], "regression", SpaceConfig(low=0, high=1, decimals=1))
