"""Clients of a service on this machine: each request knows its answer, and what comes back is compared with it."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TOLERANCE = 1e-4
BUSY = (429, 503)


@dataclass(frozen=True)
class Question:
    """A request and what must come back.

    Args:
        request: As it goes over the wire.
        answer: What `predict` says of the row.
    """

    request: bytes
    answer: Any


@dataclass
class Outcome:
    """What became of requests.

    Args:
        seconds: Of those that were answered rightly, from sending to the last byte, in the order of their ends.
        refused: Told to come back later, and when.
        wrong: Answered by what is not the row's answer.
        lost: Without a reply, or with one that nothing explains.
        first_problem: What the first of the wrong or lost ones was.
        elapsed: Seconds of all of it.
    """

    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    wrong: int = 0
    lost: int = 0
    first_problem: str = ""
    elapsed: float = 0.0

    def problem(self, what: str) -> None:
        """Keeps the first."""
        self.first_problem = self.first_problem or what

    def percentile(self, share: float) -> float:
        """Of the seconds, by the nearest rank; nan where nothing was answered."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def close(given: Any, expected: Any) -> bool:
    """Whether two answers agree, numbers to `TOLERANCE`."""
    if isinstance(expected, Mapping):
        return set(given) == set(expected) and all(close(given[name], expected[name]) for name in expected)
    if isinstance(expected, list | tuple):
        return len(given) == len(expected) and all(map(close, given, expected))
    if isinstance(expected, float):
        return isinstance(given, int | float) and abs(given - expected) <= TOLERANCE
    return bool(given == expected)


def told_apart(answers: Sequence[Any]) -> float:
    """The share of answers that agree with no other one: so many mix-ups could not go unnoticed."""
    alone = [
        not any(close(one, other) for place, other in enumerate(answers) if place != at)
        for at, one in enumerate(answers)
    ]
    return sum(alone) / len(alone)


def questions(run: str, rows: Sequence[Mapping[str, str]], answers: Sequence[Any], host: str) -> list[Question]:
    """One request a row."""
    made = []
    for row, answer in zip(rows, answers, strict=True):
        body = json.dumps({"run": run, "rows": [row]}).encode()
        head = [
            "POST /v1/predict HTTP/1.1",
            f"Host: {host}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        made.append(Question("\r\n".join([*head, "", ""]).encode() + body, answer))
    return made


class Connection:
    """One that is kept open; the little of HTTP that such a service speaks, since a client's own time counts here."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case names, and body.

        Raises:
            OSError: If nobody answers.
            asyncio.IncompleteReadError: If a reply ends before its end.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection", "") == "close":
            self.close()
        return int(head[0].split()[1]), headers, body

    def close(self) -> None:
        """Ends it."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def put(connection: Connection, question: Question, outcome: Outcome) -> None:
    """Asks and judges the reply."""
    started = time.perf_counter()
    try:
        status, headers, body = await connection.ask(question.request)
    except (OSError, asyncio.IncompleteReadError) as problem:
        outcome.lost += 1
        outcome.problem(repr(problem))
        connection.close()
        return
    seconds = time.perf_counter() - started
    if status == 200:
        given = json.loads(body)["predictions"]
        if close(given, [question.answer]):
            outcome.seconds.append(seconds)
        else:
            outcome.wrong += 1
            outcome.problem(f"{given} in the place of {[question.answer]}")
    elif status in BUSY and "retry-after" in headers:
        outcome.refused += 1
    else:
        outcome.lost += 1
        outcome.problem(f"status {status}: {body[:200]!r}")


async def closed_loop(port: int, asked: Iterator[Question], clients: int) -> Outcome:
    """Each client asks again as soon as it is answered, until the questions are used up."""
    outcome, started = Outcome(), time.perf_counter()

    async def client() -> None:
        connection = Connection(port)
        for question in asked:
            await put(connection, question, outcome)
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    outcome.elapsed = time.perf_counter() - started
    return outcome


async def open_loop(port: int, asked: Sequence[Question], rate: float, seconds: float) -> Outcome:
    """Requests come at a rate, whether or not those before were answered: each on a connection that is free.

    Args:
        port: Of the service.
        asked: In turn, over and over.
        rate: Requests a second.
        seconds: For so long.
    """
    outcome, started = Outcome(), time.perf_counter()
    free: list[Connection] = []
    tasks = set[asyncio.Task[None]]()
    turn = itertools.cycle(asked)

    async def once(question: Question) -> None:
        connection = free.pop() if free else Connection(port)
        await put(connection, question, outcome)
        free.append(connection)

    sent = 0
    while (passed := time.perf_counter() - started) < seconds:
        due = int(passed * rate) - sent
        for question in itertools.islice(turn, due):
            tasks.add(asyncio.create_task(once(question)))
        sent += due
        await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)
    outcome.elapsed = time.perf_counter() - started
    for connection in free:
        connection.close()
    return outcome
