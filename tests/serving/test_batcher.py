"""Many requests, one thread: against runs that only pretend to read."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from predgen.errors import ConfigError
from predgen.serving.batcher import Batcher
from predgen.serving.failures import Refused
from predgen.serving.settings import Limits, Settings


class Reader:
    """Answers each body with its own words, and remembers what it was asked together."""

    def __init__(self, name: str = "one", seconds: float = 0.0) -> None:
        self.name, self.seconds = name, seconds
        self.passes: list[list[str]] = []
        self.threads: set[int] = set()
        self.open = threading.Event()
        self.open.set()

    def answers(self, bodies: Sequence[str], distributions: Sequence[bool]) -> list[dict[str, Any]]:
        self.passes.append(list(bodies))
        self.threads.add(threading.get_ident())
        assert self.open.wait(10)
        time.sleep(self.seconds)
        if any("broken" in body for body in bodies):
            raise ValueError("a row that the model fails at")
        return [{"said": body, "distribution": asked} for body, asked in zip(bodies, distributions, strict=True)]


class Seen:
    """Counts."""

    def __init__(self) -> None:
        self.rows, self.most = 0, 0
        self.passes: list[tuple[str, str, int, int]] = []

    def waiting(self, rows: int) -> None:
        self.rows, self.most = rows, max(self.most, rows)

    def passed(self, run: str, kind: str, rows: int, requests: int, seconds: float) -> None:
        self.passes.append((run, kind, rows, requests))


class Started:
    """A batcher for a test, and its end."""

    def __init__(self, **settings: Any) -> None:
        self.seen = Seen()
        self.batcher = Batcher(Settings(**settings), self.seen)

    def __enter__(self) -> Started:
        self.batcher.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self.batcher.stop()

    async def ask(self, run: Reader, *bodies: str, distribution: bool = False) -> list[dict[str, Any]]:
        return await self.batcher.predict(run, bodies, distribution, time.monotonic())


async def taken(run: Reader) -> None:
    """Waits until the thread holds something."""
    while not run.passes:
        await asyncio.sleep(0.005)


def said(answers: list[dict[str, Any]]) -> list[str]:
    return [answer["said"] for answer in answers]


def test_nobody_gets_anothers_answer_and_passes_are_shared() -> None:
    run, other = Reader(seconds=0.001), Reader("two", seconds=0.001)

    async def one(number: int, started: Started) -> None:
        for turn in range(15):
            bodies = [f"{number} {turn} {row}" for row in range(1 + (number + turn) % 5)]
            asked = run if number % 3 else other
            wanted = bool(turn % 2)
            answers = await started.ask(asked, *bodies, distribution=wanted)
            assert said(answers) == bodies and {answer["distribution"] for answer in answers} == {wanted}

    async def all_of_them(started: Started) -> None:
        await asyncio.gather(*(one(number, started) for number in range(24)))

    with Started(max_batch=16) as started:
        asyncio.run(all_of_them(started))
        assert started.seen.rows == 0
        assert max(requests for _, _, _, requests in started.seen.passes) > 2
        assert all(len(bodies) <= 16 for bodies in run.passes + other.passes)
        assert len(run.threads | other.threads) == 1
        rows = sum(1 + (number + turn) % 5 for number in range(24) for turn in range(15))
        assert sum(map(len, run.passes + other.passes)) == rows


def test_requests_from_several_threads_are_told_apart() -> None:
    run, wrong = Reader(seconds=0.001), list[str]()

    def client(number: int, started: Started) -> None:
        async def ask() -> None:
            for turn in range(10):
                body = f"{number} {turn}"
                if said(await started.ask(run, body)) != [body]:
                    wrong.append(body)

        asyncio.run(ask())

    with Started() as started:
        threads = [threading.Thread(target=client, args=(number, started)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong and sum(map(len, run.passes)) == 160


def test_a_long_request_lets_short_ones_in_between() -> None:
    run, order = Reader(), list[str]()

    async def ask(started: Started, name: str, count: int) -> None:
        await started.ask(run, *(f"{name} {row}" for row in range(count)))
        order.append(name)

    async def both(started: Started) -> None:
        run.open.clear()
        long = asyncio.create_task(ask(started, "long", 40))
        await taken(run)
        short = asyncio.create_task(ask(started, "short", 2))
        await asyncio.sleep(0.05)
        run.open.set()
        await asyncio.gather(long, short)

    with Started(max_batch=8, limits=Limits(rows=64)) as started:
        asyncio.run(both(started))
    assert order == ["short", "long"]
    assert all(len(bodies) <= 8 for bodies in run.passes)


def test_a_full_queue_refuses_and_recovers() -> None:
    run = Reader()

    async def overload(started: Started) -> None:
        run.open.clear()
        waiting = [asyncio.create_task(started.ask(run, *["a"] * 8)) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(Refused) as refused:
            await started.ask(run, "one too many")
        assert refused.value.status == 429
        with pytest.raises(Refused):
            await started.batcher.do(run, lambda: None, time.monotonic())
        run.open.set()
        for answers in await asyncio.gather(*waiting):
            assert said(answers) == ["a"] * 8
        assert said(await started.ask(run, "again")) == ["again"]

    with Started(limits=Limits(rows=8, queue=16)) as started:
        asyncio.run(overload(started))
        assert started.seen.most == 16 and started.seen.rows == 0


def test_what_takes_too_long_is_given_up_and_not_read_later() -> None:
    run = Reader()

    async def ask(started: Started) -> None:
        run.open.clear()
        first = asyncio.create_task(started.ask(run, "first"))
        await taken(run)
        second = asyncio.create_task(started.ask(run, "second"))
        for task in (first, second):
            with pytest.raises(Refused) as refused:
                await task
            assert refused.value.status == 503
        run.open.set()
        assert said(await started.ask(run, "third")) == ["third"]

    with Started(limits=Limits(seconds=1)) as started:
        asyncio.run(ask(started))
        assert started.seen.rows == 0
    assert run.passes == [["first"], ["third"]]


def test_one_requests_failure_is_its_own() -> None:
    run = Reader()

    async def ask(started: Started) -> list[Any]:
        run.open.clear()
        first = asyncio.create_task(started.ask(run, "first"))
        await taken(run)
        others = [asyncio.create_task(started.ask(run, body)) for body in ("good", "broken", "fine")]
        await asyncio.sleep(0.05)
        run.open.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    with Started() as started:
        first, good, broken, fine = asyncio.run(ask(started))
        assert [said(each) for each in (first, good, fine)] == [["first"], ["good"], ["fine"]]
        assert isinstance(broken, ValueError)
        assert started.batcher.ready and started.seen.rows == 0


def test_a_failure_in_the_rest_of_a_long_request_ends_it() -> None:
    run = Reader()

    async def ask(started: Started) -> None:
        with pytest.raises(ValueError, match="fails at"):
            await started.ask(run, *["a"] * 4, "broken", *["b"] * 8)
        assert said(await started.ask(run, "next")) == ["next"]

    with Started(max_batch=4) as started:
        asyncio.run(ask(started))
        assert started.seen.rows == 0


def test_a_stop_finishes_what_was_accepted() -> None:
    run = Reader()

    async def ask(started: Started) -> list[Any]:
        run.open.clear()
        accepted = [asyncio.create_task(started.ask(run, f"{number}")) for number in range(9)]
        await asyncio.sleep(0.05)
        stop = asyncio.create_task(asyncio.to_thread(started.batcher.stop))
        async with asyncio.timeout(10):
            while started.batcher.ready:  # a thread begins when the machine has time for it
                await asyncio.sleep(0.005)
        with pytest.raises(Refused) as refused:
            await started.ask(run, "too late")
        assert refused.value.status == 503
        run.open.set()
        answers = await asyncio.gather(*accepted)
        await stop
        return answers

    with Started(max_batch=2) as started:
        assert [said(answers) for answers in asyncio.run(ask(started))] == [[f"{number}"] for number in range(9)]


def test_a_lone_client_never_waits_for_others() -> None:
    run = Reader()

    async def ask(started: Started) -> float:
        begun = time.monotonic()
        for turn in range(10):
            await started.ask(run, str(turn))
        return time.monotonic() - begun

    with Started(max_wait=5) as started:
        assert asyncio.run(ask(started)) < 5


def test_clients_that_ask_again_at_once_are_read_together() -> None:
    run = Reader(seconds=0.02)

    async def client(number: int, started: Started) -> None:
        for turn in range(8):
            await started.ask(run, f"{number} {turn}")

    async def all_of_them(started: Started) -> None:
        await asyncio.gather(*(client(number, started) for number in range(16)))

    with Started(max_batch=16, max_wait=0.5) as started:
        asyncio.run(all_of_them(started))
    assert sum(map(len, run.passes)) == 128
    # The first pass may find one of them alone; soon all come together, but for the end.
    assert len(run.passes) <= 12


def test_other_work_is_done_by_the_same_thread() -> None:
    run = Reader()

    async def ask(started: Started) -> Any:
        await started.ask(run, "a")
        with pytest.raises(ConfigError):
            await started.batcher.do(run, _fail, time.monotonic())
        return await started.batcher.do(run, threading.get_ident, time.monotonic())

    with Started() as started:
        assert {asyncio.run(ask(started))} == run.threads
        assert started.seen.passes == [("one", "predict", 1, 1), ("one", "explain", 1, 1), ("one", "explain", 1, 1)]


def _fail() -> None:
    raise ConfigError("cannot be explained")


def test_settings_that_could_never_answer_are_refused() -> None:
    for wrong in (
        lambda: Limits(rows=0),
        lambda: Limits(seconds=math.inf),
        lambda: Limits(seconds=math.nan),
        lambda: Limits(rows=100, queue=99),
        lambda: Limits(rows=1, queue=7),
        lambda: Settings(max_batch=0),
        lambda: Settings(max_wait=-1),
        lambda: Settings(max_wait=60),
    ):
        with pytest.raises(ConfigError):
            wrong()
