"""Requests that nobody means well: always refused as a client's fault, never a failure, never a hang."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from predgen.serving.settings import Limits, Settings

COUNT = 300
JSON = {"content-type": "application/json"}
NASTY = [
    "\x00", "a\x00b", "\u202eevil\u202c", "\u2066\u2069", "\x1b[31m", "\ufeff", "\u200b" * 40,
    "\U0001f600" * 9, "ﷺ" * 30,
    "a\u0301" * 200, "' OR 1=1 --", "<script>alert(1)</script>", "{text}", "{{", "%s%n", "../../etc/passwd", "\r\nX: y",
    "<|end|>", "\nAnswer: good", "\x7f\x80\x9f", "\U000e0001\U0010ffff",
]  # fmt: skip
WRONG = [
    None, True, False, {}, {"a": 1}, [[]], [{}], [None], [[["a"]]], [1], 1e16, -1e300, 10**400, ["x"] * 101, "",
    " \t\n",    "\u2003\u2028", "x" * 2001, ["x" * 2001],
]  # fmt: skip
NAMES = ["rows", "row", "run", "distribution", "", "__class__", "\x00", "rows\u202e", "$ref", "column_0"]
BROKEN = [
    b"", b"{", b"[", b"nul", b"\xff\xfe\x00", b'{"row": {"text": "\xc3\x28"}}', b'{"row": {"text": "\\ud800"}}',
    b'{"row": {"text": NaN}}', b'{"row": {"text": Infinity}}', b'{"row": {"text": 1e999}}',
    b'{"row": {"text": -Infinity}}',
    b"[" * 200_000, b'{"a":' * 100_000, b'{"row": {"text": ' + b"9" * 5000 + b"}}", b'{"row": {"\\ud800": "a"}}',
    b'{"rows": [' + b"[" * 5000 + b"]" * 5000 + b"]}", b'{"row": {"text": "a"}} trailing', b"'single'", b"\x00" * 50,
    b'{"\\ud800": 1, "row": {"text": "a"}}', b"1" * 100_000, b"-", b'"\\u12"', b'{"row": {"text": "a\nb"}}',
]  # fmt: skip
TYPES = ["text/plain", "application/xml", "multipart/form-data", "", "application/json\x00", "\u00e9"]


@pytest.fixture(params=["one", "several"])
def target(request: pytest.FixtureRequest, client: Callable[..., TestClient]) -> TestClient:
    settings = Settings(limits=Limits(characters=2000, body_bytes=1_000_000, rows=16, seconds=20), max_batch=8)
    return client(*(["label"] if request.param == "one" else ["label", "rating", "record"]), settings=settings)


def wrong_body(chance: random.Random) -> Any:
    """A request that no run can read, of a random kind."""
    nasty, wrong, name = chance.choice(NASTY), chance.choice(WRONG), chance.choice(NAMES)
    return chance.choice(
        [
            {"rows": [{"text": "good"}, {"text": wrong}]},
            {"row": {"text": wrong}},
            {"run": nasty, "row": {"text": "good"}},
            {"run": wrong, "rows": [{"text": "good"}]},
            {"rows": wrong},
            {"rows": [wrong]},
            {"rows": nasty},
            {"rows": [{nasty: "good"}]},
            {"row": nasty},
            {"row": {"text": "good"}, f"{name}{nasty}": wrong},
            {"row": {"text": "good"}, "distribution": nasty},
            {"rows": [{"text": "good"}] * 17},
            {name + "x": nasty},
            [wrong, nasty],
            nasty,
        ]
    )


def check(reply: Any) -> None:
    assert 400 <= reply.status_code < 500, (reply.status_code, reply.request.content[:200], reply.text[:300])
    assert {"code", "message"} <= set(reply.json()["error"])


def test_three_hundred_requests_are_all_refused(target: TestClient) -> None:
    chance, begun = random.Random(7), time.monotonic()
    for number in range(COUNT):
        path = chance.choice(["/v1/predict", "/v1/predict", "/v1/explain"])
        if number % 3 == 0:
            check(target.post(path, content=chance.choice(BROKEN), headers=JSON))
        elif number % 7 == 0:
            check(target.post(path, content=b"{}", headers=[(b"content-type", chance.choice(TYPES).encode())]))
        else:
            body = json.dumps(wrong_body(chance), ensure_ascii=chance.random() < 0.5)
            check(target.post(path, content=body.encode("utf-8", "surrogatepass"), headers=JSON))
    assert time.monotonic() - begun < 60
    assert target.get("/readyz").status_code == 200


@pytest.mark.parametrize("body", BROKEN)
def test_every_broken_body_is_refused(target: TestClient, body: bytes) -> None:
    check(target.post("/v1/predict", content=body, headers=JSON))


def test_strange_texts_are_texts(target: TestClient) -> None:
    rows = [{"text": f"good {nasty}", "review of": nasty} for nasty in NASTY]
    for start in range(0, len(rows), 16):
        reply = target.post("/v1/predict", json={"run": "label", "rows": rows[start : start + 16]})
        assert reply.status_code == 200, reply.text
        for prediction in reply.json()["predictions"]:
            assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    for nasty in NASTY[:6]:
        reply = target.post("/v1/explain", json={"run": "label", "row": {"text": f"a good {nasty}"}})
        assert reply.status_code in (200, 422), reply.text


@pytest.mark.parametrize(
    "path",
    [
        "/assets/..%2f..%2fapp.py", "/assets/%2e%2e/app.py", "/assets/%00", "/assets/index.html%00.js", "/v1",
        "/v1/predict/",        "/%ff%fe", "/docs", "/redoc", "/assets/", "/assets/app.py", "/v1/runs%0d%0aX:y",
    ],
)  # fmt: skip
def test_addresses_that_are_none(target: TestClient, path: str) -> None:
    check(target.get(path))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"])
def test_methods_that_are_none(target: TestClient, method: str) -> None:
    check(target.request(method, "/v1/predict", headers=JSON))
