from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from predgen.information.token_map import explain
from predgen.information.words import Word
from predgen.serving.explanation import columns_of

Client = Callable[..., TestClient]
TEXT = "The film was very good and I liked it"


def test_the_reply_is_the_librarys_map(client: Client, runs: Callable[..., Any]) -> None:
    (served,) = runs(["label"])
    made = explain(served.run, TEXT)
    reply = client("label").post("/v1/explain", json={"row": {"text": TEXT}}).json()
    assert [piece["text"] for piece in reply["pieces"]] == [word.text for word in made.words]
    assert [piece["score"] for piece in reply["pieces"]] == pytest.approx(made.main.values, abs=1e-4)
    assert {piece["column"] for piece in reply["pieces"]} == {"text"}
    assert reply["score"]["name"] == made.main.name and reply["prediction"]["prediction"] in ("good", "bad")
    assert (reply["run"], reply["version"]) == ("label", served.version)


def test_of_several_answers_one_is_explained(client: Client) -> None:
    record = client("record")
    first = record.post("/v1/explain", json={"row": {"text": TEXT}}).json()
    second = record.post("/v1/explain", json={"row": {"text": TEXT}, "field": "rating"}).json()
    assert first["score"]["name"] in ("good", "bad") and second["score"]["name"] == "value"
    assert first["prediction"] == second["prediction"]
    assert record.post("/v1/explain", json={"row": {"text": TEXT}, "field": "other"}).status_code == 422


def test_the_only_label_of_a_run_need_not_be_named(client: Client) -> None:
    told = client("only").post("/v1/explain", json={"row": {"text": TEXT}}).json()
    assert set(told["prediction"]["probabilities"]) == {"long"} and len(told["pieces"]) > 2


def test_what_cannot_be_explained_is_refused_or_not_offered(client: Client) -> None:
    reply = client("label").post("/v1/explain", json={"row": {"text": "word"}})
    assert reply.status_code == 422 and reply.json()["error"]["field"] == "text"
    free = client("free")
    assert free.get("/v1/runs").json()["runs"][0]["explain"] is False
    assert free.post("/v1/explain", json={"row": {"text": TEXT}}).status_code == 404


def test_words_know_their_columns() -> None:
    row = {"a": "good film", "b": " film "}
    words = [Word(text, 0, 1) for text in ("About", " good", " film", ":", " film", " film", ".")]
    found = columns_of("About {a}: {b} film.", row, words)
    assert found == [None, "a", "a", None, "b", None, None]
    assert columns_of("{a}", row, words[:2]) == ["a", "a"]
    assert columns_of("{a}{b}", {"a": None, "b": "film"}, [Word("film", 0, 1)]) == ["b"]
