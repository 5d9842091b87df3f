from __future__ import annotations

from typing import Any

import pytest

from predgen.learning import best_dev, preferred


def record(value: float | None, log_loss: float | None = None, metric: str = "accuracy") -> dict[str, Any]:
    values = {metric: value} if log_loss is None else {metric: value, "log_loss": log_loss}
    return {"event": "dev", "metric": metric, "decision": "mode", "value": value, "decisions": {"mode": values}}


@pytest.mark.parametrize(
    ("one", "other", "wins"),
    [
        (record(0.9, 9.0), record(0.8, 0.1), True),  # the metric decides
        (record(0.8, 0.1), record(0.9, 9.0), False),
        (record(0.8, 0.1), record(0.8, 0.2), True),  # of equals the log loss
        (record(0.8, 0.2), record(0.8, 0.1), False),
        (record(0.8, 0.1), record(0.8, 0.1), False),  # of equals in both the earlier
        (record(0.8), record(0.8), False),
        (record(0.8, float("nan")), record(0.8, 0.1), False),
        (record(0.8, 0.1), record(0.8, float("nan")), True),
        (record(0.4, metric="mae"), record(0.5, metric="mae"), True),
        (record(float("nan")), record(0.1), False),
    ],
)
def test_which_dev_record_is_chosen(one: dict[str, Any], other: dict[str, Any], wins: bool) -> None:
    assert preferred(one, other) is wins


def test_the_best_of_a_log() -> None:
    log = [{"event": "train"}, record(None), record(0.7, 0.1), record(0.8, 0.4), record(0.8, 0.3), record(0.8, 0.3)]
    assert best_dev(log) is log[4]
    assert best_dev(log[:2]) is None
