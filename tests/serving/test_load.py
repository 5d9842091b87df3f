"""The load benchmark's clients: what is right, refused, wrong or lost is counted as such."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest

from predgen.prediction import to_json
from predgen.serving.app import create_app
from predgen.serving.settings import Settings

ROWS = [{"text": f"text {number}"} for number in range(8)]
ANSWERS = [{"prediction": "a", "probabilities": {"a": 0.5 + number / 20}, "set": ["a"]} for number in range(8)]


@pytest.fixture
def load(benchmark_module: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark_module("load")


@asynccontextmanager
async def replying(reply: Callable[[int], bytes | None]) -> AsyncIterator[int]:
    """A server that replies to its n-th request by what a function says; None: hangs up."""
    turn = itertools.count()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
            said = reply(next(turn))
            if said is None:
                writer.close()
                return
            writer.write(said)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def said(status: int, body: Any, *headers: str) -> bytes:
    """A reply."""
    data = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(data)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + data


def ask(load: ModuleType, reply: Callable[[int], bytes | None]) -> Any:
    """What becomes of one client's eight requests."""

    async def go() -> Any:
        async with replying(reply) as port:
            asked = load.questions("run", ROWS, ANSWERS, "127.0.0.1")
            return await asyncio.wait_for(load.closed_loop(port, iter(asked), 1), 20)

    return asyncio.run(go())


def test_every_fate_is_counted(load: ModuleType) -> None:
    right = [said(200, {"predictions": [answer]}) for answer in ANSWERS]

    def reply(turn: int) -> bytes | None:
        others = {
            1: said(200, {"predictions": [ANSWERS[2]]}),
            2: said(429, {"error": {}}, "Retry-After: 1"),
            3: said(429, {"error": {}}),
            4: said(500, {"error": {}}),
            5: None,
        }
        return others.get(turn, right[turn])

    found = ask(load, reply)
    assert (len(found.seconds), found.wrong, found.refused, found.lost) == (3, 1, 1, 3)
    assert "in the place of" in found.first_problem


def test_a_difference_of_more_than_the_tolerance_is_wrong(load: ModuleType) -> None:
    nearly = [{**answer, "probabilities": {"a": answer["probabilities"]["a"] + 0.9e-4}} for answer in ANSWERS]
    off = [{**answer, "probabilities": {"a": answer["probabilities"]["a"] + 1.1e-4}} for answer in ANSWERS]
    assert ask(load, lambda turn: said(200, {"predictions": [nearly[turn]]})).wrong == 0
    assert ask(load, lambda turn: said(200, {"predictions": [off[turn]]})).wrong == 8
    assert load.told_apart(ANSWERS) == 1.0
    assert load.told_apart([*ANSWERS[:3], ANSWERS[0]]) == 0.5


def test_an_open_loop_does_not_wait_for_replies(load: ModuleType) -> None:
    async def go() -> Any:
        async with replying(lambda turn: said(503, {"error": {}}, "Retry-After: 1")) as port:
            asked = load.questions("run", ROWS, ANSWERS, "127.0.0.1")
            return await load.open_loop(port, asked, rate=200.0, seconds=0.5)

    found = asyncio.run(go())
    assert found.refused > 50 and found.lost == found.wrong == 0 and found.seconds == []


@pytest.mark.parametrize("clients", [1, 8])
def test_the_service_answers_each_with_its_own(
    load: ModuleType,
    runs: Callable[[Sequence[str]], Any],
    listening: Callable[[Any], Any],
    clients: int,
) -> None:
    (served,) = runs(["label"])
    rows = [{"text": f"The film {number} was {'very ' * (number % 5)}good."} for number in range(32)]
    answers = [
        json.loads(json.dumps({name: value for name, value in to_json(each).items() if name != "row"}))
        for each in served.run.predict(rows)
    ]
    assert load.told_apart(answers) > 0.5
    with listening(create_app([served], Settings(max_batch=8))) as origin:
        port = int(origin.rsplit(":", 1)[1])
        asked = load.questions("label", rows, answers, f"127.0.0.1:{port}")
        found = asyncio.run(load.closed_loop(port, iter(asked), clients))
    assert (len(found.seconds), found.refused, found.wrong, found.lost) == (32, 0, 0, 0), found.first_problem
    assert 0 < found.percentile(0.5) <= found.percentile(0.95)
