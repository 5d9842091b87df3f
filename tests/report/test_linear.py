from __future__ import annotations

import numpy as np
import pytest

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.report import linear
from predgen.report.linear import Labelled, Linear, fit_linear

SPACE = LabelSet(("bad", "unseen", "good"))
TRAIN = Labelled(
    [f"film {n} was {('good', 'bad')[n % 2]}" for n in range(20)], [("good", "bad")[n % 2] for n in range(20)]
)


def test_words_that_tell_the_label_are_found() -> None:
    found = fit_linear(SPACE, ["a good one", "so bad"], TRAIN, Labelled(TRAIN.bodies[:6], TRAIN.targets[:6]), 0)
    assert isinstance(found, Linear) and found.predicted.labels is not None and found.dev is not None
    assert found.predicted.labels.tolist() == [2, 0]
    assert found.dev.labels is not None and found.dev.labels.tolist() == [2, 0] * 3
    probabilities = found.predicted.probabilities
    assert probabilities is not None
    # A label without training rows has its column, and nothing in it.
    assert probabilities.shape == (2, 3) and not probabilities[:, 1].any()
    assert probabilities.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert "fitted on the same 20 training rows" in found.note and "chosen on the dev rows" in found.note


def test_the_dev_rows_choose_the_strength() -> None:
    grid = NumberGrid(-4, 4, 1)
    train = Labelled(["up", "up", "down", "down"], [4.0, 4.0, -4.0, -4.0])
    right = fit_linear(grid, ["up"], train, Labelled(["up", "down"], [4.0, -4.0]), 0)
    wrong = fit_linear(grid, ["up"], train, Labelled(["up", "down"], [-4.0, 4.0]), 0)
    assert isinstance(right, Linear) and isinstance(wrong, Linear)
    assert "regularisation 0.01," in right.note and "regularisation 100," in wrong.note
    assert right.predicted.values is not None and wrong.predicted.values is not None
    # One-hot words: ridge says n c / (n + strength) around the mean of 0, n = 2 rows a word and c = 4.
    assert right.predicted.values == pytest.approx(2 * 4 / 2.01, abs=1e-6)
    assert wrong.predicted.values == pytest.approx(2 * 4 / 102, abs=1e-6)


def test_without_dev_rows_it_is_not_tuned_and_says_so() -> None:
    found = fit_linear(SPACE, ["good"], TRAIN, None, 0)
    assert isinstance(found, Linear) and found.dev is None and "not tuned" in found.note


def test_why_there_is_none() -> None:
    assert fit_linear(SPACE, ["a"], Labelled(["!", "?"], ["good", "bad"]), None, 0) == (
        "The training texts have no words that could be counted."
    )
    assert fit_linear(SPACE, ["a"], Labelled(["good", "fine"], ["good", "good"]), None, 0) == (
        "The training rows have a single label."
    )


def test_of_very_many_rows_a_seeded_part_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "MOST_ROWS", 8)
    notes = {fit_linear(SPACE, ["good"], TRAIN, None, seed).note for seed in (0, 0)}  # type: ignore[union-attr]
    assert len(notes) == 1 and "a seeded 8 of the training rows" in notes.pop()


def test_numbers_stay_within_the_space() -> None:
    found = fit_linear(NumberGrid(0, 1, 1), ["up up up"], Labelled(["up", "down", "x"], [1.0, 0.0, 1.0]), None, 0)
    assert isinstance(found, Linear) and found.predicted.values is not None
    assert np.all((found.predicted.values >= 0) & (found.predicted.values <= 1))
