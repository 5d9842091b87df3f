"""Tiny runs over one base, and services in front of them, in this process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed (extra serve).")
import uvicorn
from fastapi.testclient import TestClient

import predgen
from predgen.serving.app import create_app
from predgen.serving.served_run import ServedRun, served
from predgen.serving.settings import Settings
from predgen.serving.shared_base import SharedBases

WORDS = {"good": ("good", "very good", "liked it a lot"), "bad": ("bad", "terrible", "simply bad")}
KINDS = {
    "label": ["data.target=label", "method=predgen"],
    "rating": ["data.target=rating", "method=generator"],
    "record": ["data.target=[label,rating]", "method=predictor"],
    "tags": ["data.target=tags", "task=multilabel", "method=generator"],
    "free": ["data.target=rating", "space.kind=free", "method=generator"],
    "only": ["data.target=only", "task=multilabel", "method=generator"],
    "options": [
        "data.target=pick",
        "data.options=options",
        "space.style=continuations",
        'space.labels=["0","1"]',
        "method=generator",
    ],
}
Client = Callable[..., TestClient]


def rows_for(count: int) -> list[dict[str, Any]]:
    """Rows with two columns of text and targets of each kind."""
    made = []
    for n in range(count):
        label = ("good", "bad")[n % 2]
        rating = (1 if label == "good" else -1) + n % 7 / 10
        tags = [label, *(["long"] if n % 3 else [])]
        text = f"The film {n} was {WORDS[label][n % 3]}."
        made.append(
            {
                "text": text, "review of": f"film {n % 5}", "label": label, "rating": rating, "tags": tags,
                "only": tags[1:], "options": ["seen twice", "never seen"], "pick": n % 2,
            }
        )  # fmt: skip
    return made


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Callable[[str], Path]:
    """Fits a run of a kind, once, when it is first asked for."""
    folder = tmp_path_factory.mktemp("serving")
    data = folder / "rows.jsonl"
    data.write_text("\n".join(map(json.dumps, rows_for(90))), encoding="utf-8")

    def fitted(kind: str) -> Path:
        out = folder / kind
        if not out.exists():
            text = ['data.template="About {review of}: {text}"'] if kind == "rating" else ["data.text=text"]
            shared = [
                f"data.source={data}", f"model.name={tiny_base}", f"out={out}", "data.train_size=40",
                "data.dev_size=40", "data.test_size=0", "prompt.max_tokens=64", "train.max_steps=2",
                "train.evaluations=1", "train.learning_rate=0.01",
            ]  # fmt: skip
            predgen.fit(predgen.load_config(assignments=[*shared, *text, *KINDS[kind]]), say=lambda line: None)
        return out

    return fitted


@pytest.fixture(scope="session")
def runs(shop: Callable[[str], Path]) -> Callable[[Sequence[str]], list[ServedRun]]:
    """Loaded runs by kind, all over one base."""
    bases, loaded = SharedBases(), dict[str, ServedRun]()

    def load(kinds: Sequence[str]) -> list[ServedRun]:
        for kind in kinds:
            if kind not in loaded:
                loaded[kind] = served(kind, predgen.load(shop(kind), batch_size=8, bases=bases))
        return [loaded[kind] for kind in kinds]

    return load


@pytest.fixture(scope="module")
def client(runs: Callable[[Sequence[str]], list[ServedRun]]) -> Iterator[Client]:
    """Services by their runs and settings; the model's threads end with the module."""
    with ExitStack() as stack:
        made: dict[Any, TestClient] = {}

        def serve(*kinds: str, settings: Settings | None = None, **options: Any) -> TestClient:
            key = (kinds, settings, *sorted(options.items()))
            if key not in made:
                app = create_app(runs(kinds), settings or Settings(max_batch=8))
                made[key] = stack.enter_context(TestClient(app, raise_server_exceptions=False, **options))
            return made[key]

        yield serve


@contextmanager
def _listening(app: Any) -> Iterator[str]:
    """Serves an application on a free port of this machine."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:  # else a test that fails would leave a thread behind for which the whole session waits
        server.should_exit = True
        thread.join(timeout=20)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def listening() -> Callable[[Any], Any]:
    """Serves an application on a free port of this machine, within a `with`."""
    return _listening


def predictions(client: TestClient, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a request that must succeed is answered."""
    reply = client.post("/v1/predict", json=body)
    assert reply.status_code == 200, reply.text
    given: list[dict[str, Any]] = reply.json()["predictions"]
    return given
