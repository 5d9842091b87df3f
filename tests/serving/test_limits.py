from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from predgen.serving.app import create_app
from predgen.serving.failures import failed
from predgen.serving.limits import BODIES_HELD, RequestLimits
from predgen.serving.settings import Limits, Settings

SMALL = Settings(limits=Limits(rows=3, characters=50, body_bytes=1000), max_batch=8)
Client = Callable[..., TestClient]


def refused(reply: Any, status: int) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    body = reply.json()
    assert set(body) == {"error"} and {"code", "message"} <= set(body["error"])
    error: dict[str, Any] = body["error"]
    return error


@pytest.fixture
def small(client: Client) -> TestClient:
    return client("label", settings=SMALL)


def test_too_many_rows_and_too_long_a_text_are_named(small: TestClient) -> None:
    error = refused(small.post("/v1/predict", json={"rows": [{"text": "good"}] * 4}), 422)
    assert error["field"] == "rows" and "row" not in error
    error = refused(small.post("/v1/predict", json={"rows": [{"text": "good"}, {"text": "x" * 51}]}), 422)
    assert (error["row"], error["field"]) == (1, "text") and "51 characters" in error["message"]
    assert small.post("/v1/predict", json={"rows": [{"text": "x" * 50}] * 3}).status_code == 200


@pytest.mark.parametrize(
    ("rows", "row", "field"),
    [
        ([{"text": "good"}, {}], 1, "text"),
        ([{"text": "good"}, {"text": {"a": 1}}], 1, "text"),
        ([{"text": True}], 0, "text"),
        ([{"text": ["a", 1]}], 0, "text"),
        ([{"text": "good"}, {"text": "good"}, {"text": " \n "}], 2, "text"),
        ([{"text": None}], 0, "text"),
        ([{"text": 1e300}], 0, "text"),
        ([{"text": "good"}, "good"], 1, None),
    ],
)
def test_a_row_that_cannot_be_read_is_named(small: TestClient, rows: list[Any], row: int, field: str | None) -> None:
    error = refused(small.post("/v1/predict", json={"rows": rows}), 422)
    assert error["row"] == row and error.get("field") == field and f"ow {row}" in error["message"]


def test_options_that_cannot_be_read_are_named_by_their_column(client: Client) -> None:
    both = client("options")
    assert both.post("/v1/predict", json={"row": {"text": "good", "options": ["a", "b"]}}).status_code == 200
    for row, field in (({"text": "good", "options": ["a"]}, "options"), ({"text": "", "options": ["a", "b"]}, "text")):
        assert refused(both.post("/v1/predict", json={"row": row}), 422)["field"] == field


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rows": []},
        {"rows": None},
        {"row": None},
        {"rows": [{"text": "a"}], "row": {"text": "a"}},
        {"rows": [{"text": "a"}], "distributoin": True},
        {"rows": [{"text": "a"}], "distribution": "yes"},
        {"rows": [{"text": "a"}], "run": "other"},
        [],
        "text",
        3,
    ],
)
def test_requests_of_another_shape_are_refused(small: TestClient, body: Any) -> None:
    refused(small.post("/v1/predict", json=body), 422)


def test_numbers_and_lists_are_read_as_predict_reads_them(small: TestClient, runs: Callable[..., Any]) -> None:
    (served,) = runs(["label"])
    rows = [{"text": 12}, {"text": 1.5}, {"text": ["one", "two"]}, {"text": "good", "more": {"deep": []}}]
    for row, expected in zip(rows, served.run.predict(rows), strict=True):
        reply = small.post("/v1/predict", json={"row": row})
        assert reply.status_code == 200, reply.text
        assert reply.json()["predictions"][0]["probabilities"] == pytest.approx(expected.probabilities, abs=1e-4)


def test_a_large_body_is_refused_whether_its_length_is_stated_or_not(small: TestClient) -> None:
    text = '{"rows": [{"text": "' + "x" * 1000 + '"}]}'
    headers = {"content-type": "application/json"}
    refused(small.post("/v1/predict", content=text, headers=headers), 413)

    def parts() -> Iterator[bytes]:
        for start in range(0, len(text), 100):
            yield text[start : start + 100].encode()

    refused(small.post("/v1/predict", content=parts(), headers=headers), 413)
    refused(small.post("/v1/predict", content=b"{}", headers={**headers, "content-length": "9" * 5000}), 413)
    refused(small.post("/v1/predict", content=b"{}", headers={**headers, "content-length": "-1"}), 400)


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded", "application/jsonx"])
def test_only_json_is_read(small: TestClient, kind: str) -> None:
    refused(small.post("/v1/predict", content=b'{"row": {"text": "a"}}', headers={"content-type": kind}), 415)


def test_a_service_without_a_key_answers_under_its_own_names_alone(client: Client) -> None:
    settings = Settings(hosts=("127.0.0.1", "::1", "localhost"))
    own = client("label", settings=settings, base_url="http://127.0.0.1:8000")
    assert own.get("/v1/runs").status_code == 200
    for host in ("localhost:8000", "LOCALHOST", "[::1]:8000"):
        assert own.get("/v1/runs", headers={"host": host}).status_code == 200, host
    for host in ("elsewhere.example", "127.0.0.1.elsewhere.example:80", ""):
        refused(own.get("/v1/runs", headers={"host": host}), 421)


def test_several_runs_are_told_apart_by_name(client: Client) -> None:
    both = client("label", "tags")
    for name in ("label", "tags"):
        reply = both.post("/v1/predict", json={"run": name, "row": {"text": "good"}})
        assert reply.json()["run"] == name
    for body in ({"row": {"text": "good"}}, {"run": "other", "row": {"text": "good"}}, {"run": 3}):
        error = refused(both.post("/v1/predict", json=body), 422)
        assert error["field"] == "run" or body.get("run") == 3
    error = refused(both.post("/v1/predict", json={"run": "tags", "rows": [{"text": "a"}, {"text": 1e99}]}), 422)
    assert (error["row"], error["field"]) == (1, "text")


def test_where_one_run_of_several_explains_its_rows_are_named_too(client: Client) -> None:
    both = client("label", "free")
    error = refused(both.post("/v1/explain", json={"run": "label", "row": {"text": True}}), 422)
    assert (error["row"], error["field"]) == (0, "text")
    for name in ("free", "other"):
        assert refused(both.post("/v1/explain", json={"run": name, "row": {"text": "a"}}), 422)["field"] == "run"


def test_runs_may_be_called_like_parts_of_a_request_or_almost_alike(runs: Callable[..., Any]) -> None:
    (one,) = runs(["label"])
    names = ["row", "rows", "a-b", "a_b", "v1.2"]
    with TestClient(create_app([replace(one, name=name) for name in names])) as client:
        assert client.get("/openapi.json").status_code == 200
        for name in names:
            assert client.post("/v1/predict", json={"run": name, "row": {"text": "good"}}).json()["run"] == name
            error = refused(client.post("/v1/predict", json={"run": name, "row": {"text": True}}), 422)
            assert (error["row"], error["field"]) == (0, "text")
            error = refused(client.post("/v1/predict", json={"run": name, "rows": [{"text": "a"}, {}]}), 422)
            assert (error["row"], error["field"]) == (1, "text")


async def ask(limited: RequestLimits, receive: Any, length: int | None = 10) -> int:
    """The status of a reply to a request whose body comes as it likes; None: its length is not stated."""
    headers = [(b"content-type", b"application/json")]
    headers += [] if length is None else [(b"content-length", str(length).encode())]
    statuses = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await limited({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive, send)
    return int(statuses[0])


def test_a_body_that_does_not_come_is_given_up() -> None:
    async def never() -> Any:
        await asyncio.sleep(60)

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    limited = RequestLimits(failed(404, "reached"), Limits(seconds=0.05), ())
    assert asyncio.run(ask(limited, never)) == 408
    assert asyncio.run(ask(limited, gone)) == 400


def test_only_so_many_large_bodies_are_held_at_once() -> None:
    async def together() -> list[int]:
        open_ = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            assert len((await receive())["body"]) == 100
            await open_.wait()
            await failed(404, "reached")(scope, receive, send)

        async def whole() -> Any:
            return {"type": "http.request", "body": b"x" * 100, "more_body": False}

        limited = RequestLimits(slow, Limits(body_bytes=100), ())
        held = [asyncio.create_task(ask(limited, whole, 100)) for _ in range(BODIES_HELD)]
        await asyncio.sleep(0.05)
        refused = await ask(limited, whole, 100)
        open_.set()
        return [refused, *await asyncio.gather(*held), await ask(limited, whole, 100)]

    assert asyncio.run(together()) == [503, *[404] * BODIES_HELD, 404]


@pytest.mark.parametrize("length", [100, None])
def test_bodies_on_their_way_are_held_too(length: int | None) -> None:
    async def together() -> list[int]:
        gone = asyncio.Event()

        def coming() -> Any:
            parts = iter([{"type": "http.request", "body": b"x" * 99, "more_body": True}])

            async def receive() -> Any:
                for part in parts:
                    return part
                await gone.wait()
                return {"type": "http.disconnect"}

            return receive

        async def whole() -> Any:
            return {"type": "http.request", "body": b"x" * 100, "more_body": False}

        limited = RequestLimits(failed(404, "reached"), Limits(body_bytes=100), ())
        slow = [asyncio.create_task(ask(limited, coming(), length)) for _ in range(3 * BODIES_HELD)]
        await asyncio.sleep(0.05)
        assert sum(task.done() for task in slow) == 2 * BODIES_HELD
        assert {task.result() for task in slow if task.done()} == {503}
        refused = await ask(limited, whole, 100)
        gone.set()
        return [refused, *set(await asyncio.gather(*slow)) - {503}, await ask(limited, whole, 100)]

    assert asyncio.run(together()) == [503, 400, 404]


def test_where_the_queue_must_be_full_no_body_is_read() -> None:
    async def together() -> list[int]:
        open_ = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await open_.wait()
            await failed(404, "reached")(scope, receive, send)

        async def whole() -> Any:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def unread() -> Any:
            raise AssertionError("the body was read")

        limited = RequestLimits(slow, Limits(rows=8, queue=8), ())
        inside = [asyncio.create_task(ask(limited, whole)) for _ in range(8)]
        await asyncio.sleep(0.05)
        refused = await ask(limited, unread)
        open_.set()
        return [refused, *await asyncio.gather(*inside), await ask(limited, whole)]

    assert asyncio.run(together()) == [429, *[404] * 8, 404]


def test_a_full_queue_and_a_late_answer_say_when_to_try_again(
    runs: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (served,) = runs(["label"])
    begun, finish = threading.Event(), threading.Event()

    def slow(run: Any, bodies: Any, distributions: Any) -> list[Any]:
        begun.set()
        assert finish.wait(30)
        return [{} for _ in bodies]

    monkeypatch.setattr(type(served), "answers", slow)
    settings = Settings(limits=Limits(rows=8, queue=8, seconds=2))
    with TestClient(create_app([served], settings)) as client:
        late: list[Any] = []
        body = {"rows": [{"text": "good"}] * 8}
        thread = threading.Thread(target=lambda: late.append(client.post("/v1/predict", json=body)))
        thread.start()
        assert begun.wait(10)
        full = client.post("/v1/predict", json=body)
        refused(full, 429)
        thread.join()
        assert "2 seconds" in refused(late[0], 503)["message"]
        assert full.headers["retry-after"] == late[0].headers["retry-after"] == "1"
        finish.set()
        deadline = time.monotonic() + 10
        while client.post("/v1/predict", json=body).status_code != 200:
            assert time.monotonic() < deadline
        text = client.get("/metrics").text
        assert 'predgen_refused_total{reason="queue_full"}' in text
        assert 'predgen_refused_total{reason="too_late"} 1.0' in text
