from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from predgen.errors import ConfigError
from predgen.prediction import to_json
from predgen.serving.app import create_app
from predgen.serving.settings import Settings

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


def test_answers_are_the_same_in_any_batch_and_nobody_gets_anothers(
    client: Callable[..., TestClient], runs: Callable[..., Any]
) -> None:
    served = runs(["label", "rating"])
    both = client("label", "rating")
    rows = [{**ROW, "text": f"The film {n} was {'very ' * (n % 6)}good {n}."} for n in range(24)]
    alone = {run.name: [run.answers([run.body(row, 0)], [False])[0] for row in rows] for run in served}
    wrong: list[Any] = []

    def ask(number: int) -> None:
        for turn in range(4):
            kind = ("label", "rating")[(number + turn) % 2]
            chosen = [(number * 5 + turn + step) % 24 for step in range(1 + turn)]
            body = {"run": kind, "rows": [rows[place] for place in chosen]}
            told = both.post("/v1/predict", json=body).json()
            wanted = [alone[kind][place] for place in chosen]
            if told["run"] != kind or not close(told["predictions"], wanted):
                wrong.append((told, wanted))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    shared = sample(both, "predgen_pass_requests_sum") / sample(both, "predgen_pass_requests_count")
    assert shared > 1.05


@pytest.mark.parametrize("kind", ["rating", "record"])
def test_a_distribution_is_given_where_it_is_asked_for(client: Callable[..., TestClient], kind: str) -> None:
    body = {"row": ROW, "distribution": True}
    told = client(kind).post("/v1/predict", json=body).json()["predictions"][0]
    if kind == "record":  # a head's number has none
        assert "distribution" not in told["fields"]["rating"]
        return
    support, probabilities = told["distribution"]["support"], told["distribution"]["probabilities"]
    assert support == sorted(support) and sum(probabilities) == pytest.approx(1, abs=1e-5)
    mean = sum(value * share for value, share in zip(support, probabilities, strict=True))
    assert mean == pytest.approx(told["mean"], abs=1e-4)


def test_the_catalogue_says_what_each_run_reads_and_answers(client: Callable[..., TestClient]) -> None:
    told = client(*KINDS).get("/v1/runs").json()
    cards = {card["name"]: card for card in told["runs"]}
    assert cards["label"]["labels"] == ["bad", "good"] and cards["label"]["task"] == "labels"
    assert cards["rating"]["columns"] == ["review of", "text"]
    assert cards["rating"]["range"] == {"low": -1.0, "high": 2.0, "step": 0.1, "decimals": 1}
    assert cards["record"]["targets"] == ["label", "rating"] and cards["record"]["task"] == "record"
    assert cards["record"]["fields"]["rating"]["task"] == "numbers"
    assert cards["tags"]["labels"] == ["bad", "good", "long"] and cards["tags"]["task"] == "multilabel"
    assert cards["free"]["explain"] is False and cards["label"]["explain"] is True
    assert len({card["version"] for card in cards.values()}) == len(KINDS)
    assert told["limits"] == {"rows": 256, "characters": 20000, "body_bytes": 4000000}


def test_no_text_is_logged_unless_it_is_asked_for(
    client: Callable[..., TestClient], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "predgen.serving")
    for row in ({"text": "a secret word"}, {"text": ["a secret", {}]}):
        client("label").post("/v1/predict?text=secret", json={"row": row})
        client("label").post("/v1/explain", json={"row": row})
    assert "POST /v1/predict 200" in caplog.text and "secret" not in caplog.text
    client("label", settings=Settings(log_texts=True)).post("/v1/predict", json={"row": {"text": "a secret\nword"}})
    assert r"a secret\nword" in caplog.text


def test_what_nobody_foresaw_is_a_reply_without_text_in_the_log(
    runs: Callable[..., Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (served,) = runs(["label"])
    broken = replace(served, name="broken")

    def fail(run: Any, bodies: Any, distributions: Any) -> None:
        raise RuntimeError(bodies[0])

    with TestClient(create_app([broken]), raise_server_exceptions=False) as client:
        monkeypatch.setattr(type(broken), "answers", fail)
        reply = client.post("/v1/predict", json={"row": {"text": "a secret word"}})
        monkeypatch.undo()
        assert reply.status_code == 500 and reply.json()["error"]["code"] == "internal"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "RuntimeError" in caplog.text and "secret" not in caplog.text
        assert client.post("/v1/predict", json={"row": {"text": "a secret word"}}).status_code == 200
    assert client.app.state.service.batcher.ready is False


def test_metrics_count_what_happened(runs: Callable[..., Any]) -> None:
    with TestClient(create_app(runs(["label"]), Settings(max_batch=4))) as client:
        for _ in range(3):
            client.post("/v1/predict", json={"rows": [{"text": "good"}] * 5})
        client.post("/v1/predict", json={"rows": [{}]})
        client.post("/v1/explain", json={"row": {"text": "a good one"}})
        client.get("/made/up/by/anyone")
        assert sample(client, 'predgen_requests_total{path="/v1/predict",status="200"}') == 3
        assert sample(client, 'predgen_requests_total{path="/v1/predict",status="422"}') == 1
        assert sample(client, 'predgen_requests_total{path="other",status="404"}') == 1
        assert sample(client, 'predgen_rows_total{kind="predict",run="label"}') == 15
        assert sample(client, 'predgen_rows_total{kind="explain",run="label"}') == 1
        assert sample(client, "predgen_pass_rows_count") == 6 and sample(client, "predgen_waiting_rows") == 0
        assert "made/up" not in client.get("/metrics").text


def test_an_application_can_be_started_again(runs: Callable[..., Any]) -> None:
    app = create_app(runs(["label"]))
    for _ in range(2):
        with TestClient(app) as client:
            assert client.post("/v1/predict", json={"row": ROW}).status_code == 200


def test_runs_need_names_of_their_own(runs: Callable[..., Any]) -> None:
    for wrong in ([], runs(["label", "label"])):
        with pytest.raises(ConfigError, match="different names"):
            create_app(wrong)


def sample(client: TestClient, name: str) -> float:
    """One number of the metrics."""
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(name)).rpartition(" ")[2])
