"""Starting and stopping."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

import predgen
from predgen.cli import app as command_line
from predgen.errors import ConfigError, DataError, PredgenError, RunFolderError
from predgen.serving.app import create_app
from predgen.serving.server import bound, guarded, is_loopback, listen, load_runs, names_of, serve
from predgen.serving.settings import Settings

SOURCE = str(Path(predgen.__file__).parents[1])


def test_names_are_the_folders_own_unless_given(tmp_path: Path) -> None:
    (tmp_path / "stars").mkdir()
    assert names_of([str(tmp_path / "stars"), f"other={tmp_path / 'stars'}"]) == {
        "stars": str(tmp_path / "stars"),
        "other": str(tmp_path / "stars"),
    }
    for wrong, said in (([], "No run"), (["a/x", "b/x"], "Two runs"), (["a b"], "NAME=FOLDER"), (["=x"], "NAME=")):
        with pytest.raises(ConfigError, match=said):
            names_of(wrong)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_others_reach_needs_a_key(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ConfigError, match="--api-key-file"):
        guarded(Settings(), host)
    assert guarded(Settings(keys=("k" * 16,)), host).hosts == ()
    assert guarded(Settings(keys=("k" * 16,), hosts=("proxy.example",)), host).hosts == ()  # any name, that one too


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.5.5.5"])
def test_the_loopback_needs_none_and_answers_under_its_names(host: str) -> None:
    assert set(guarded(Settings(hosts=("proxy.example",)), host).hosts) >= {host, "localhost", "proxy.example"}


def test_a_busy_port_is_an_error_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"Port {port} of 127.0.0.1 is in use"):
            bound("127.0.0.1", port)
    for host, number in (("127.0.0.1", 70_000), ("no-such-host.invalid", 0), ("192.0.2.1", 0)):
        with pytest.raises(ConfigError):
            bound(host, number)


def test_a_port_that_is_taken_while_a_run_is_loading_is_an_error() -> None:
    with contextlib.closing(bound("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with contextlib.closing(bound("127.0.0.1", port)) as second:
            first.listen()
            with pytest.raises(ConfigError, match=f"Port {port} of 127.0.0.1 was taken by another service"):
                listen(FastAPI(), second, Settings(), lambda: None)


def test_folders_without_a_run_and_broken_runs_are_errors(shop: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no run folder"):
        serve([str(tmp_path / "missing")], Settings(), port=0)
    broken = tmp_path / "broken"
    shutil.copytree(shop("label"), broken)
    (broken / "adapter_model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(PredgenError, match="damaged"):
        serve([str(broken)], Settings(), port=0, say=lambda line: None)


def test_examples_are_rows_that_a_run_can_read(shop: Callable[[str], Path]) -> None:
    rows = [{"other": "x"}, {"text": ""}, {"text": "seen", "label": "bad"}]
    named = {"label": str(shop("label"))}
    (made,) = load_runs(named, Settings(), rows, False, lambda line: None)
    assert made.example == {"text": "seen"}
    schemas = create_app([made]).openapi()["components"]["schemas"]
    (example,) = schemas["LabelPredicted"]["examples"]  # the run's own reply
    assert example["run"] == "label" and set(example["predictions"][0]) == {"prediction", "probabilities", "set"}
    with pytest.raises(DataError, match="None of the examples"):
        load_runs(named, Settings(), rows[:2], False, lambda line: None)


def test_without_the_extra_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    result = CliRunner().invoke(command_line, ["serve", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert 'pip install "predgen[serve]"' in str(result.exception)


def test_predgen_itself_needs_no_fastapi() -> None:
    program = (
        "import sys, predgen, predgen.cli; found = {'fastapi', 'uvicorn'} & sys.modules.keys(); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env={**os.environ, "PYTHONPATH": SOURCE})


def test_a_stopped_service_answers_what_it_accepted(shop: Callable[[str], Path], tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("a-key-for-this-test\n")
    command = [sys.executable, "-m", "predgen", "serve", str(shop("label")), "--port", "0", "--api-key-file", str(keys)]
    environment = {**os.environ, "PYTHONPATH": SOURCE, "PYTHONUNBUFFERED": "1"}
    log = (tmp_path / "log").open("w+")
    process = subprocess.Popen(
        [*command, "--max-batch", "1"], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
    )
    try:
        address = ready(process)
        headers = {"authorization": "Bearer a-key-for-this-test"}
        answers: list[Any] = []
        connected = threading.Barrier(4, timeout=60)

        def ask(number: int) -> None:
            rows = [{"text": f"A secret film {number} {row}"} for row in range(100)]
            with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
                client.get("/healthz")
                connected.wait()  # else the first might be answered before the last has asked
                reply = client.post("/v1/predict", json={"rows": rows})
            answers.append((reply.status_code, len(reply.json()["predictions"])))

        assert httpx.get(f"{address}/readyz").status_code == 200
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        waiting = 0.0
        with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
            while waiting < 400 and not answers:  # until all four are taken
                text = client.get("/metrics").text
                waiting = max(waiting, float(re.search(r"^predgen_waiting_rows (.+)$", text, re.M)[1]))  # type: ignore[index]
        assert waiting == 400 and not answers
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert answers == [(200, 100)] * 4
        assert process.wait(60) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/healthz")
    finally:
        process.kill()
        process.wait()
    log.seek(0)
    logged = log.read()
    assert "POST /v1/predict 200" in logged and "secret" not in logged and "a-key" not in logged


def ready(process: subprocess.Popen[str]) -> str:
    """The address that it says it serves at."""
    begun = time.monotonic()
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"Serving .*?: (http://\S+)", line)
        if found:
            return found[1]
        assert time.monotonic() - begun < 120
    raise AssertionError(json.dumps({"ended": process.wait()}))
