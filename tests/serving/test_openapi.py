"""The OpenAPI document is complete, and requests made from it are answered as it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from predgen.serving.settings import Limits, Settings

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed (extra dev).")
hypothesis = pytest.importorskip("hypothesis")

SETTINGS = Settings(limits=Limits(rows=4, characters=200), max_batch=8)
Client = Callable[..., TestClient]


def without_lifespan(app: Any) -> Any:
    """The application that runs already: each case would start and end it anew."""

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})

    return plain


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{method} {path}": one for path, methods in document["paths"].items() for method, one in methods.items()}


def test_every_address_says_what_it_takes_and_gives(client: Client) -> None:
    document = client("label", "rating", "record", settings=SETTINGS).get("/openapi.json").json()
    found = operations(document)
    assert set(found) == {
        "post /v1/predict", "post /v1/explain", "get /v1/runs", "get /healthz", "get /readyz", "get /metrics",
    }  # fmt: skip
    for name in ("post /v1/predict", "post /v1/explain"):
        assert {"200", "400", "401", "408", "413", "415", "422", "429", "503"} <= set(found[name]["responses"])
    schemas = document["components"]["schemas"]
    assert schemas["LabelRow"]["properties"]["text"]["anyOf"][0]["maxLength"] == 200
    assert set(schemas["RatingRow"]["required"]) == {"review of", "text"}
    assert schemas["LabelPredict"]["properties"]["rows"]["maxItems"] == 4
    assert schemas["LabelPrediction"]["properties"]["prediction"]["enum"] == ["bad", "good"]
    assert schemas["LabelPredict"]["examples"] == [{"run": "label", "rows": [{"text": "A film to remember."}]}]


@pytest.mark.parametrize("kinds", [["label"], ["rating", "record", "tags"]])
def test_examples_can_be_sent_as_they_are(client: Client, kinds: list[str]) -> None:
    served = client(*kinds, settings=SETTINGS)
    schemas = served.get("/openapi.json").json()["components"]["schemas"]
    for kind in kinds:
        for path, name in (("/v1/predict", "Predict"), ("/v1/explain", "Explain")):
            for example in schemas[f"{kind.capitalize()}{name}"]["examples"]:
                assert served.post(path, json=example).status_code == 200


@pytest.mark.parametrize("kinds", [["label"], ["rating", "record", "tags"]])
def test_schemathesis_finds_nothing(client: Client, kinds: list[str]) -> None:
    served = client(*kinds, settings=SETTINGS)
    schema = schemathesis.openapi.from_dict(served.get("/openapi.json").json())
    schema.app = without_lifespan(served.app)
    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis.settings(
            max_examples=25,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def run(case: Any) -> None:
            # What a schema cannot say: that a row is not all blanks.
            case.call_and_validate(excluded_checks=[schemathesis.checks.CHECKS.get_one("positive_data_acceptance")])

        run()
