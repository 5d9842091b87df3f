from __future__ import annotations

import itertools
from collections.abc import Iterator

from predgen.answers.spaces import NumberGrid
from predgen.config import RunConfig
from predgen.config_reading import load_config, with_settings
from predgen.training.prepare import GivenRows, prepare


def endless() -> Iterator[dict[str, object]]:
    for number in itertools.count():
        assert number < 1000, "more is read than was asked for"
        yield {"text": f"row {number}", "label": ("bad", "good")[number % 2]}


def test_rows_without_an_end_are_read_up_to_their_maximum() -> None:
    config = with_settings(
        RunConfig(), {"data.max_rows": 20, "data.dev_max_rows": 6, "data.eval_max_rows": 4, "data.target": "label"}
    )
    prepared = prepare(config, lambda line: None, GivenRows(endless(), endless(), endless()))
    assert (len(prepared.train), len(prepared.dev), len(prepared.test)) == (20, 6, 4)


def test_rows_that_are_only_reported_do_not_widen_the_grid() -> None:
    """The numbers that can be written follow from the training rows; the labels from all that are there."""

    def rows(outlier: float) -> list[dict[str, object]]:
        return [{"text": f"A film {n}", "rating": float(n % 10)} for n in range(40)] + [
            {"text": "The last film", "rating": outlier}
        ]

    settings = ["data.target=rating", "data.text=text", "task=regression", "data.dev_size=8", "data.test_size=8"]
    found = []
    for seed in range(12):
        config = load_config(assignments=[*settings, f"data.split_seed={seed}"])
        said: list[str] = []
        prepared = prepare(config, said.append, GivenRows(rows(500.0)))
        space, trained = prepared.spaces[0], prepared.train.targets[0]
        assert isinstance(space, NumberGrid) and space.high == max(map(float, trained))
        outside = 500.0 in [*prepared.dev.targets[0], *prepared.test.targets[0]]
        assert any("grid from 0 to 9" in line for line in said) == outside
        found.append(outside)
    assert set(found) == {True, False}
