from __future__ import annotations

from collections import Counter

import pytest

from predgen.data.splits import sample_rows, split_rows
from predgen.errors import DataError, PredgenWarning


def test_parts_are_disjoint_sorted_and_follow_the_seed() -> None:
    one = split_rows(None, 100, None, 0.1, 0.2, seed=0)
    assert (len(one.train), len(one.dev), len(one.test)) == (70, 10, 20)
    assert sorted([*one.train, *one.dev, *one.test]) == list(range(100))
    assert all(part == sorted(part) for part in one)
    assert one == split_rows(None, 100, None, 0.1, 0.2, seed=0)
    assert one != split_rows(None, 100, None, 0.1, 0.2, seed=1)


def test_sizes_above_one_are_numbers_of_rows() -> None:
    split = split_rows(None, 100, 30, 7, 13, seed=0)
    assert (len(split.train), len(split.dev), len(split.test)) == (30, 7, 13)


def test_classes_keep_their_shares() -> None:
    classes = ["rare"] * 20 + ["common"] * 180
    split = split_rows(classes, 200, None, 0.25, 0.25, seed=3)
    for part, size in ((split.train, 100), (split.dev, 50), (split.test, 50)):
        assert abs(Counter(classes[row] for row in part)["rare"] - size / 10) <= 1


def test_a_class_of_one_row_is_trained_on() -> None:
    classes = ["a"] * 50 + ["b"] * 49 + ["once"]
    for seed in range(20):
        assert 99 in split_rows(classes, 100, None, 0.2, 0.2, seed).train


def test_a_class_that_training_misses_is_told() -> None:
    with pytest.warns(PredgenWarning, match="class once"):
        split_rows(["a"] * 50 + ["once"], 51, 10, 5, 5, seed=0)


@pytest.mark.parametrize("sizes", [(90, 10, 10), (None, 0.5, 0.5)])
def test_sizes_that_do_not_fit_are_refused(sizes: tuple[float | None, float, float]) -> None:
    with pytest.raises(DataError, match="100 rows cannot be split"):
        split_rows(None, 100, *sizes, seed=0)


def test_samples_are_seeded() -> None:
    assert sample_rows(5, None, 0) == sample_rows(5, 9, 0) == [0, 1, 2, 3, 4]
    sample = sample_rows(100, 10, 0)
    assert sample == sample_rows(100, 10, 0) != sample_rows(100, 10, 1)
    assert len(set(sample)) == 10
