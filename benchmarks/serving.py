"""Requests to a service on this machine: how many a second, how long each takes, and whether each gets its own answer.

    python benchmarks/serving.py [--run FOLDER] [--rows 64] [--rounds 3] [--quick] [--json FILE]

Each request is one row and knows its answer, which `predict` gave beforehand; a reply must agree to 1e-4. Without
--run a tiny random model is fitted, so that it is the service that is measured, not the model.

- In rounds, in an order shuffled anew each time: `predict` over all rows in batches, `predict` over one row at a time,
  and such rows as requests of 1, 8, 32 and 128 clients that ask again as soon as they are answered.
- Ten times more than the service can answer: requests at ten times the rate that 32 clients reached, whether or not
  those before were answered. Each must be answered rightly or be told when to come back.
- Memory of the service's process over many requests of 32 clients, always by the tiny model: what a request leaves
  behind does not depend on the model.

The service is a process of its own. Clients and service share the processor, so that the clients' own work is in the
figures. `processor_s` of a round of requests is the clients' alone.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

import predgen
from load import Outcome, Question, closed_loop, open_loop, questions, told_apart
from predgen.base_run import BaseRun
from predgen.precision import precision_of
from predgen.prediction import to_json
from records import write_records
from rounds import shuffled_rounds
from tiny import tiny_base, tiny_run

CLIENTS = (1, 8, 32, 128)
BATCH = 32
QUEUE = 256  # rows that may wait
NAME = "measured"
WORDS = ("good", "bad", "film", "not", "all", "positive", "negative", "at", "delayed", "wonderful")


def texts(count: int) -> list[str]:
    """Of 4 to 23 words, no two alike."""
    return [
        f"{number} "
        + " ".join(WORDS[(number * 7 + place * place + number // 3) % len(WORDS)] for place in range(length))
        for number in range(count)
        if (length := 3 + number * 13 % 20)
    ]


def serve(folder: str, port: int) -> None:
    """The service, until it is ended."""
    import uvicorn

    from predgen.serving.app import create_app
    from predgen.serving.served_run import served
    from predgen.serving.settings import Limits, Settings

    run = served(NAME, predgen.load(folder, batch_size=BATCH))
    app = create_app([run], Settings(Limits(queue=QUEUE), max_batch=BATCH))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


@contextmanager
def service(folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Its port and its process, once it is ready."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, "--serve", str(folder), str(port)])
    try:
        asyncio.run(_ready(port, process))
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=60)


async def _ready(port: int, process: subprocess.Popen[bytes]) -> None:
    from load import Connection

    for _ in range(1200):
        if process.poll() is not None:
            raise RuntimeError(f"The service ended with status {process.returncode}.")
        try:
            status, *_ = await Connection(port).ask(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            if status == 200:
                return
        except OSError:
            pass
        await asyncio.sleep(0.1)
    raise RuntimeError("The service is not ready after two minutes.")


def answers(run: BaseRun, rows: Sequence[Mapping[str, str]]) -> list[Any]:
    """What `predict` says, as a reply holds it."""
    return [
        json.loads(json.dumps({name: value for name, value in to_json(each).items() if name != "row"}))
        for each in run.predict(rows)
    ]


def told(outcome: Outcome) -> dict[str, Any]:
    """An outcome as a record's fields."""
    right = len(outcome.seconds)
    return {
        "right": right,
        "refused": outcome.refused,
        "wrong": outcome.wrong,
        "lost": outcome.lost,
        **({"first_problem": outcome.first_problem} if outcome.first_problem else {}),
        "rows_per_s": round(right / outcome.elapsed, 1),
        "p50_ms": round(1000 * outcome.percentile(0.5), 2),
        "p95_ms": round(1000 * outcome.percentile(0.95), 2),
        "p99_ms": round(1000 * outcome.percentile(0.99), 2),
    }


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Rounds as one."""
    whole = Outcome(elapsed=sum(each.elapsed for each in outcomes))
    for each in outcomes:
        whole.seconds += each.seconds
        whole.refused, whole.wrong, whole.lost = (
            whole.refused + each.refused, whole.wrong + each.wrong, whole.lost + each.lost
        )  # fmt: skip
        whole.problem(each.first_problem)
    return whole


def measure_rounds(
    run: BaseRun, rows: Sequence[Mapping[str, str]], port: int, asked: Sequence[Question], rounds: int
) -> list[dict[str, Any]]:
    """`predict` and clients side by side, each over all rows."""
    outcomes: dict[int, list[Outcome]] = {clients: [] for clients in CLIENTS}
    alone: list[list[float]] = []

    def one_by_one() -> None:
        alone.append([])
        for row in rows:
            started = time.perf_counter()
            run.predict([row])
            alone[-1].append(time.perf_counter() - started)

    # Enough for each client to ask several times: the first passes hold few rows, and the last.
    counts = {clients: max(len(rows), min(8 * clients, 128)) for clients in CLIENTS}

    def ask(clients: int) -> Callable[[], None]:
        def go() -> None:
            turn = itertools.islice(itertools.cycle(asked), counts[clients])
            outcomes[clients].append(asyncio.run(closed_loop(port, turn, clients)))

        return go

    systems: dict[str, Callable[[], Any]] = {"predict": lambda: run.predict(rows), "predict, one at a time": one_by_one}
    systems |= {f"{clients} clients": ask(clients) for clients in CLIENTS}
    timed = shuffled_rounds(systems, rounds)
    batch = len(rows) / timed["predict"].spread()["median_s"]
    single = statistics.median(itertools.chain.from_iterable(alone[1:]))
    records: list[dict[str, Any]] = [
        {"system": "predict", **timed["predict"].spread(), "rows_per_s": round(batch, 1)},
        {
            "system": "predict, one at a time",
            **timed["predict, one at a time"].spread(),
            "p50_ms": round(1000 * single, 2),
        },
    ]
    for clients in CLIENTS:
        whole = joined(outcomes[clients][1:])
        spread = timed[f"{clients} clients"].spread()
        record = {"system": f"{clients} clients", "clients": clients, **spread, **told(whole)}
        # Of the round in the middle, as for predict: one disturbed round does not decide.
        rate = counts[clients] / spread["median_s"]
        record |= {"rows_per_s": round(rate, 1), "over_predict": round(rate / batch, 3)}
        if clients == 1:
            record["p50_over_one_at_a_time"] = round(whole.percentile(0.5) / single, 3)
        records.append(record)
        print(json.dumps(record), flush=True)
    return records


def measure_overload(port: int, asked: Sequence[Question], capacity: float, seconds: float) -> dict[str, Any]:
    """Ten times the capacity."""
    outcome = asyncio.run(open_loop(port, asked, 10 * capacity, seconds))
    sent = len(outcome.seconds) + outcome.refused + outcome.wrong + outcome.lost
    record = {
        "system": "10 × overload",
        "wanted_per_s": round(10 * capacity, 1),
        "sent": sent,
        "sent_per_s": round(sent / seconds, 1),
        **told(outcome),
    }
    record["over_capacity"] = round(len(outcome.seconds) / outcome.elapsed / capacity, 3)
    return record


def measure_memory(port: int, process: psutil.Process, asked: Sequence[Question], count: int) -> dict[str, Any]:
    """Resident memory after each tenth of the requests, the first of which warms up."""
    outcomes, sizes = list[Outcome](), list[float]()
    endless = itertools.cycle(asked)
    for _ in range(10):
        outcomes.append(asyncio.run(closed_loop(port, itertools.islice(endless, count // 10), 32)))
        sizes.append(round(process.memory_info().rss / 2**20, 1))
    return {
        "system": "memory, 32 clients",
        "requests": count,
        **told(joined(outcomes)),
        "resident_mb": sizes,
        "grown_mb": round(sizes[-1] - sizes[0], 1),
    }


def prepared(folder: Path, count: int) -> tuple[BaseRun, list[dict[str, str]], list[Any]]:
    """A run, rows for it, and their answers."""
    from predgen.serving.served_run import served

    run = predgen.load(folder, batch_size=BATCH)
    precision = precision_of(run)
    if precision != "fp32":
        sys.exit(
            f"Error: {folder} computes in {precision}, where a row's answer moves by more than 1e-4 with the rows that "
            "it is read with. Expected a run with train.precision=fp32."
        )
    columns = served(NAME, run).columns
    rows = [dict.fromkeys(columns, text) for text in texts(count)]
    return run, rows, answers(run, rows)


def measure(folder: Path, tiny: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """All of it."""
    run, rows, known = prepared(folder, arguments.rows)
    records: list[dict[str, Any]] = [
        {"system": "answers", "rows": len(rows), "told_apart": round(told_apart(known), 4)}
    ]
    print(json.dumps(records[0]), flush=True)
    with service(folder) as (port, _):
        asked = questions(NAME, rows, known, f"127.0.0.1:{port}")
        records += measure_rounds(run, rows, port, asked, arguments.rounds)
        capacity = next(each["rows_per_s"] for each in records if each.get("clients") == 32)
        records.append(measure_overload(port, asked, capacity, arguments.overload_seconds))
        print(json.dumps(records[-1]), flush=True)
    _, rows, known = prepared(tiny, 256)
    with service(tiny) as (port, process):
        asked = questions(NAME, rows, known, f"127.0.0.1:{port}")
        records.append(measure_memory(port, process, asked, arguments.requests))
        print(json.dumps(records[-1]), flush=True)
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a run folder, in float32, whose columns are texts")
    parser.add_argument("--rows", type=int, default=64, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=10_000, help="over which memory is watched")
    parser.add_argument("--overload-seconds", type=float, default=5.0)
    parser.add_argument("--quick", action="store_true", help="a minute's worth, to see that it runs")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve[0], int(arguments.serve[1]))
        return
    if arguments.quick:
        arguments.rows, arguments.rounds, arguments.requests, arguments.overload_seconds = 32, 1, 400, 1.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        known = [{"text": f"{WORDS[n % 8]} film {n}", "target": n % 8 / 2} for n in range(48)]
        tiny = tiny_run(tiny_base(folder / "base"), folder / "run", known, "method=generator")
        records = measure(arguments.run or tiny, tiny, arguments)
    settings = {
        "run": arguments.run.name if arguments.run else "tiny",
        "rows": arguments.rows,
        "batch": BATCH,
        "queue": QUEUE,
    }
    write_records(arguments.json, settings, records)
    if any(record.get("wrong") or record.get("lost") for record in records):
        sys.exit("Error: requests were lost, or answered with what was not their answer.")


if __name__ == "__main__":
    main()
