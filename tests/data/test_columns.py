from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest

from predgen.data.columns import read_solutions, read_targets, read_weights
from predgen.errors import DataError


def column(values: list[Any]) -> list[dict[str, Any]]:
    return [{"label": value} for value in values]


def test_labels_are_text_and_numbers_are_finite() -> None:
    rows = column([1, "1", 1.0, True, " yes "])
    assert read_targets(rows, "label", "classification") == ["1", "1", "1", "true", "yes"]
    assert read_targets(column(["1", 2, 3.5]), "label", "regression") == [1.0, 2.0, 3.5]


@pytest.mark.parametrize("bad", [None, "", "NaN", float("nan"), float("inf"), "inf", "high", "1_2", 10**400])
def test_targets_that_are_no_numbers_are_named(bad: Any) -> None:
    with pytest.raises(DataError, match=r"1 of 3 rows have no usable target in 'label' \(row 1: "):
        read_targets(column([1.0, bad, 2.0]), "label", "regression")


@pytest.mark.parametrize("bad", [float("nan"), np.float32("nan"), pandas.NA, pandas.NaT])
def test_what_a_frame_has_for_nothing_is_no_label(bad: Any) -> None:
    with pytest.raises(DataError, match=r"1 of 2 rows have no usable target in 'label' \(row 1: "):
        read_targets(column(["good", bad]), "label", "classification")


def test_what_the_column_says_is_written_otherwise() -> None:
    names = (("0", "bad"), ("1", "good"))
    assert read_targets(column([1, "0", "good"]), "label", "classification", names=names) == ["good", "bad", "good"]
    with pytest.raises(DataError, match=r"1 of 2 rows say in 'label' .*first row 1: '2'"):
        read_targets(column([1, 2]), "label", "classification", names=names)


def test_solutions_end_with_their_number() -> None:
    rows = column(["3 + 4 = 7\n#### 7", "12"])
    assert read_targets(rows, "label", "regression", "####") == [7.0, 12.0]
    assert [text.strip() for text in read_solutions(rows, "label", "####")] == ["3 + 4 = 7", ""]


@pytest.mark.parametrize("bad", [None, -1, "much", float("inf")])
def test_weights_are_numbers_from_zero_on(bad: Any) -> None:
    assert read_weights(column([0, "2.5"]), "label") == [0.0, 2.5]
    with pytest.raises(DataError, match=r"1 of 2 rows have no usable weight in 'label' \(row 1"):
        read_weights(column([1, bad]), "label")
