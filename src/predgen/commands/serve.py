"""The command `predgen serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from predgen.commands.options import TrustRemoteCode, say
from predgen.errors import ConfigError


def serve(
    runs: Annotated[
        list[str], typer.Argument(help="Run folders, each alone or as NAME=FOLDER; or owner/name on the hub.")
    ],
    host: Annotated[str, typer.Option(help="Where to listen; off the loopback a key is needed.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 8000,
    api_key_file: Annotated[
        str | None, typer.Option(help="Keys, one a line; requests then need the header Authorization: Bearer KEY.")
    ] = None,
    max_batch: Annotated[int, typer.Option(help="Most rows a pass, of all requests together.")] = 32,
    max_wait_ms: Annotated[
        float, typer.Option(help="How long a pass waits for requests that were answered together the last time.")
    ] = 10.0,
    max_queue: Annotated[int, typer.Option(help="Rows that may wait; more are refused with 429.")] = 2048,
    max_rows: Annotated[int, typer.Option(help="Most rows of a request.")] = 256,
    max_characters: Annotated[int, typer.Option(help="Most characters of each text.")] = 20_000,
    max_body: Annotated[int, typer.Option(help="Most bytes of a request.")] = 4_000_000,
    time_limit: Annotated[float, typer.Option(help="Seconds that a request may take; then 503.")] = 60.0,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Without a key: another name under which it is called, e.g. by a proxy. Repeatable."),
    ] = None,
    examples: Annotated[str | None, typer.Option(help="Rows, as for predict, to show on the page.")] = None,
    log_texts: Annotated[bool, typer.Option("--log-texts", help="Write rows to the log, too.")] = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Answer over HTTP, with a page to try it: predgen serve RUN [RUN ...]."""
    _check_installed()
    from predgen.serving.keys import read_keys
    from predgen.serving.server import log_to_stderr
    from predgen.serving.server import serve as run_service
    from predgen.serving.settings import Limits, Settings

    settings = Settings(
        limits=Limits(
            rows=max_rows, characters=max_characters, body_bytes=max_body, queue=max_queue, seconds=time_limit
        ),
        max_batch=max_batch,
        max_wait=max_wait_ms / 1000,
        keys=() if api_key_file is None else read_keys(Path(api_key_file)),
        hosts=tuple(allow_host or ()),
        log_texts=log_texts,
    )
    log_to_stderr(log_texts)
    run_service(runs, settings, host, port, examples, trust_remote_code, say)


def _check_installed() -> None:
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as problem:
        raise ConfigError(
            f"Serving needs {problem.name}, which is not installed.", remedy='pip install "predgen[serve]"'
        ) from problem
