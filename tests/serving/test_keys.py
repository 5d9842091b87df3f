from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from predgen.errors import ConfigError
from predgen.serving.headers import HEADERS
from predgen.serving.keys import read_keys
from predgen.serving.settings import Settings

KEYS = ("first-key-of-the-two", "second-key-of-the-two")
Client = Callable[..., TestClient]


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain", "/metrics", "/nothing", "/v1/runs/"])
def test_without_a_key_the_model_is_not_asked(client: Client, path: str) -> None:
    locked = client("label", settings=Settings(keys=KEYS))
    body = {"row": {"text": "a good one"}}
    for header in (None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {KEYS[0]}", f"Bearer {KEYS[0]}x", KEYS[0]):
        headers = {} if header is None else {"authorization": header}
        reply = locked.post(path, json=body, headers=headers)
        assert reply.status_code == 401, header
        assert reply.json()["error"]["code"] == "unauthorized" and reply.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("key", KEYS)
def test_each_key_opens(client: Client, key: str) -> None:
    locked = client("label", settings=Settings(keys=KEYS))
    headers = {"authorization": f"bearer {key}"}
    assert locked.post("/v1/predict", json={"row": {"text": "a good one"}}, headers=headers).status_code == 200
    assert locked.get("/metrics", headers=headers).status_code == 200


def test_the_page_and_what_it_needs_are_open(client: Client) -> None:
    locked = client("label", settings=Settings(keys=KEYS))
    for path in ("/", "/v1/runs", "/healthz", "/readyz", "/openapi.json"):
        assert locked.get(path).status_code == 200, path
    assert locked.get("/v1/runs").json()["key_required"] is True
    assert client("label").get("/v1/runs").json()["key_required"] is False


def test_every_reply_has_the_security_headers(client: Client) -> None:
    locked = client("label", settings=Settings(keys=KEYS))
    replies = [
        locked.get("/"),
        locked.get("/v1/runs"),
        locked.get("/assets/nothing.js"),
        locked.post("/v1/predict"),
        locked.post("/v1/predict", json={}, headers={"authorization": f"Bearer {KEYS[0]}"}),
    ]
    assert [reply.status_code for reply in replies] == [200, 200, 404, 401, 422]
    for reply in replies:
        assert {name: reply.headers.get(name) for name in HEADERS} == HEADERS
        assert "default-src 'self'" in reply.headers["content-security-policy"]


def test_a_key_file_is_read_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of the team\n\n  {KEYS[0]} \n{KEYS[1]}\n")
    assert read_keys(file) == KEYS


@pytest.mark.parametrize("content", [b"", b"# none\n", b"short\n", b"a key with blanks in it\n", b"\xff" * 20])
def test_key_files_that_guard_nothing_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="ey"):
        read_keys(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "missing")
