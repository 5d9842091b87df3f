from __future__ import annotations

import numpy as np

from predgen.report.sections.slices import by_column
from predgen.report.sections.worst import suspicious_labels


def test_confident_learning_on_paper() -> None:
    probabilities = np.array(
        [[0.9, 0.1], [0.7, 0.3], [0.05, 0.95], [0.2, 0.8], [0.4, 0.6]]
    )  # of label 0 the mean among its own rows is (0.9 + 0.7 + 0.05) / 3 = 0.55; of label 1 (0.8 + 0.6) / 2 = 0.7
    gold = np.array([0, 0, 0, 1, 1])
    # Row 2 alone: its own 0.05 is below 0.55, and the other's 0.95 reaches 0.7.
    assert suspicious_labels(probabilities, gold).round(6).tolist() == [0, 0, 0.9, 0, 0]


def test_a_label_that_no_row_has_makes_nothing_suspicious() -> None:
    assert not suspicious_labels(np.array([[0.1, 0.9], [0.2, 0.8]]), np.array([0, 0])).any()


def test_a_column_of_words_is_sliced_by_its_values() -> None:
    rows = [{"lang": value} for value in ["en", "de", "en", None, "en", ""]]
    slices = by_column("lang", rows)
    assert [(each.name, each.rows.tolist()) for each in slices] == [
        ("en", [0, 2, 4]), ("(none)", [3, 5]), ("de", [1]),
    ]  # fmt: skip


def test_rare_values_are_put_together() -> None:
    slices = by_column("n", [{"n": f"v{number % 20}"} for number in range(60)])
    assert len(slices) == 13 and slices[-1].name == "8 others"
    assert sorted(place for each in slices for place in each.rows) == list(range(60))


def test_a_column_of_many_numbers_is_sliced_into_quarters() -> None:
    rows = [{"age": str(number)} for number in range(100)] + [{"age": None}]
    slices = by_column("age", rows)
    assert [each.name for each in slices] == ["0 to 24", "25 to 49", "50 to 73", "74 to 99", "(none)"]
    assert slices[-1].rows.tolist() == [100]
    assert sorted(place for each in slices for place in each.rows) == list(range(101))
