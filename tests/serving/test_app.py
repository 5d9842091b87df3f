from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from predgen.prediction import to_json

ROW = {"text": "The film 3 was very good.", "review of": "film 3"}
KINDS = ["label", "rating", "record", "tags", "free"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_says_what_predict_says(client: Callable[..., TestClient], runs: Callable[..., Any], kind: str) -> None:
    (served,) = runs([kind])
    rows = [ROW, {**ROW, "text": "A bad one, simply bad and much longer than the other"}]
    reply = client(kind).post("/v1/predict", json={"rows": rows})
    assert reply.status_code == 200, reply.text
    told = reply.json()
    assert (told["run"], told["version"], told["model"]) == (kind, served.version, served.model)
    assert 0 < told["seconds"] < 60
    wanted = [{k: v for k, v in to_json(each).items() if k != "row"} for each in served.run.predict(rows)]
    assert len(told["predictions"]) == 2
    for given, expected in zip(told["predictions"], wanted, strict=True):
        assert close(given, expected)


def close(given: Any, expected: Any) -> bool:
    """Whether two replies agree to 1e-4."""
    if isinstance(expected, dict):
        return set(given) == set(expected) and all(close(given[name], expected[name]) for name in expected)
    if isinstance(expected, list | tuple):
        return len(given) == len(expected) and all(map(close, given, expected))
    if isinstance(expected, float):
        return bool(given == pytest.approx(expected, abs=1e-4))
    return bool(given == expected)
