"""From run folders to a listening service: what can fail fails before anyone is answered, and stops are graceful."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from predgen.data.sources import read_table
from predgen.errors import ConfigError, DataError, PredgenError, RunFolderError
from predgen.hub import located
from predgen.loading import load
from predgen.serving.app import create_app
from predgen.serving.served_run import ServedRun, served
from predgen.serving.settings import Settings
from predgen.serving.shared_base import SharedBases
from predgen.training.run_folder import read_checked

Say = Callable[[str], None]
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
CONNECTIONS = 2048  # that wait to be accepted
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)


def serve(
    runs: Sequence[str],
    settings: Settings,
    host: str = "127.0.0.1",
    port: int = 8000,
    examples: str | None = None,
    trust_remote_code: bool = False,
    say: Say = print,
) -> None:
    """Loads runs and answers requests until a signal comes.

    Args:
        runs: Run folders or hub ids, each alone or as NAME=FOLDER; alone its last part is what requests call it.
        settings: The service's.
        host: Where to listen; other machines can reach it only where it is not of the loopback.
        port: 0: any that is free.
        examples: Rows for the page and the documentation, as for `predict`; each run shows the first that it can read.
        trust_remote_code: Whether code that comes with a base model may run.
        say: Takes one line at a time.

    Raises:
        ConfigError: If the port is taken, the host is not here, or reachable from elsewhere and there is no key.
        RunFolderError: If a folder holds no run, or a run fails at its first row.
        ModelError: If a base model cannot be loaded.
    """
    named = names_of(runs)
    settings = guarded(settings, host)
    for folder in named.values():  # a wrong folder should not be found after minutes of loading another
        read_checked(located(folder))
    rows = [] if examples is None else read_table(examples).good_rows[:1000]
    listening = bound(host, port)
    with contextlib.closing(listening):
        loaded = load_runs(named, settings, rows, trust_remote_code, say)
        app = create_app(loaded, settings)
        address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        names = ", ".join(run.name for run in loaded)
        ready = f"Serving {names}: {address}  (the page; {address}/openapi.json; Ctrl-C stops)"
        listen(app, listening, settings, lambda: say(ready))
    say("Stopped; everything that was accepted has been answered.")


def names_of(runs: Sequence[str]) -> dict[str, str]:
    """Name → folder of each run.

    Raises:
        ConfigError: If a name is none that an address could hold, or stands twice.
    """
    named: dict[str, str] = {}
    for run in runs:
        name, given, folder = run.partition("=")
        if not given or Path(run).exists():
            name, folder = Path(run).expanduser().resolve().name, run
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"The run {run} would be called {name!r}.",
                "Names are of letters a to z, digits, and _ . - within.",
                "Give it one: NAME=FOLDER.",
            )
        if name in named:
            raise ConfigError(
                f"Two runs are called {name!r}: {named[name]} and {folder}.", remedy="Name them: NAME=FOLDER."
            )
        named[name] = folder
    if not named:
        raise ConfigError("No run was named.", "Expected at least one run folder.")
    return named


def guarded(settings: Settings, host: str) -> Settings:
    """The settings with what the host asks for.

    A service without a key answers under the loopback's names alone: a browser can be led to send requests here under
    the name of a page elsewhere, and that page could read the replies.

    Raises:
        ConfigError: If other machines could reach it, and there is no key.
    """
    if settings.keys:
        return replace(settings, hosts=())  # under any name: no page elsewhere has the key
    if not is_loopback(host):
        raise ConfigError(
            f"Other machines could reach the service at {host}, and no key is asked for.",
            "Expected --api-key-file FILE, or a loopback host such as 127.0.0.1.",
        )
    return replace(settings, hosts=(*LOOPBACK_NAMES, host, *settings.hosts))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host: all of its addresses are the loopback's."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address, before anything slow is begun; it does not listen yet.

    Raises:
        ConfigError: If the address cannot be had.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port {port} is out of range.", "Expected 0 (any free one) to 65535.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, protocol)
        # Else a port that was in use a minute ago could not be had.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"Port {port} of {host} is in use.", remedy="Stop what listens there, or choose another --port."
            ) from None
        raise ConfigError(f"The service cannot listen at {host}, port {port}: {problem.strerror}.") from problem
    return made


def load_runs(
    named: Mapping[str, str],
    settings: Settings,
    rows: Sequence[Mapping[str, Any]],
    trust_remote_code: bool,
    say: Say,
) -> list[ServedRun]:
    """Loads the runs over shared bases and asks each for its first answer.

    Args:
        named: Name → folder.
        settings: max_batch is read.
        rows: Of which each run's example is the first that it can read.
        trust_remote_code: Whether code that comes with a base model may run.
        say: Takes one line at a time.

    Raises:
        RunFolderError: If a run cannot be loaded, or fails at its example.
        DataError: If there are rows, and none of them can be read by a run.
    """
    bases, loaded = SharedBases(), list[ServedRun]()
    for name, folder in named.items():
        say(f"Loading {name} from {folder}")
        run = load(folder, settings.max_batch, trust_remote_code, bases=bases)
        made = served(name, run)
        if rows:
            made = made.showing(_first_readable(made, rows))
        try:
            (answer,) = made.answers([made.body(made.example, 0)], [False])
        except PredgenError:
            raise
        except Exception as problem:  # a broken run may fail anywhere
            raise RunFolderError(
                f"{folder} fails at its first row: {type(problem).__name__}: {problem}",
                remedy="Restore it from a copy, or fit again.",
            ) from problem
        loaded.append(replace(made, answer=answer))
    return loaded


def _first_readable(made: ServedRun, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    for number, row in enumerate(rows):
        try:
            made.body(row, number)
        except DataError:
            continue
        return row
    raise DataError(f"None of the examples can be read by {made.name}.", f"It reads {', '.join(made.columns)}.")


class _Server(uvicorn.Server):
    """uvicorn's, which says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn has it."""
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()


def listen(app: FastAPI, listening: socket.socket, settings: Settings, ready: Callable[[], None]) -> None:
    """Answers requests until SIGTERM or SIGINT; then nothing new is accepted, and what was accepted is answered.

    Args:
        app: What replies.
        listening: A bound socket.
        settings: The time that a request may take is read.
        ready: Called once requests are accepted.

    Raises:
        ConfigError: If another service, which was loading at the same time, listens at the address already.
    """
    try:
        listening.listen(CONNECTIONS)  # a socket that is bound alone keeps nobody from binding another
    except OSError as problem:
        host, port = listening.getsockname()[:2]
        raise ConfigError(
            f"Port {port} of {host} was taken by another service while this one was loading: {problem.strerror}.",
            remedy="Stop what listens there, or choose another --port.",
        ) from None
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # it would write addresses with all that stands behind their question marks
        server_header=False,
        lifespan="on",
        backlog=CONNECTIONS,
        timeout_keep_alive=30,
        # A second longer than any request may take, so that only what hangs is cut off.
        timeout_graceful_shutdown=int(settings.limits.seconds) + 1,
    )
    with _signals_end_here():
        _Server(config, ready).run(sockets=[listening])


@contextlib.contextmanager
def _signals_end_here() -> Iterator[None]:
    """Uvicorn raises the signal that stopped it once more when it is done, which would end the process as if killed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, lambda number, frame: None) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def log_to_stderr(texts: bool) -> None:
    """Writes the service's log to standard error, one line a request.

    Args:
        texts: Whether rows stand in it; said once, so that nobody is surprised.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("predgen.serving").setLevel(logging.INFO)
    if texts:
        logging.getLogger("predgen.serving").warning("Rows are written to this log (--log-texts).")
