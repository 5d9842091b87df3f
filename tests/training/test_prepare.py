from __future__ import annotations

import itertools
from collections.abc import Iterator

from predgen.config import RunConfig
from predgen.config_reading import with_settings
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
