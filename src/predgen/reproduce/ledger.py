"""What is done, what failed and what is being done, in files that any number of processes may share.

<cells>/<id>.json         a finished cell: never fitted again; small enough to be committed
<out>/failed/<id>.json    a failed one, with its error; fitted again when that is asked for
<out>/claims/<id>.lock    locked by the process that is at it, and free as soon as that ends, however it ends
<out>/runs/<id>/<rate>/   its run folders
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from predgen.errors import RunFolderError
from predgen.training.run_folder import write_json

FORMAT_VERSION = 1
State = Literal["finished", "failed", "running", "begun", "to do"]


class Ledger:
    """The files of one grid.

    Args:
        out: The folder of the grid.
        cells: The folder of finished cells; None: ``<out>/cells``.
    """

    def __init__(self, out: Path, cells: Path | None = None) -> None:
        self.out = out
        self.cells = cells or out / "cells"

    def run_folder(self, cell: str, rate: float) -> Path:
        """Where one of a cell's runs is."""
        return self.out / "runs" / cell / f"rate-{rate:g}"

    def state(self, cell: str) -> State:
        """How far a cell is; "begun" if runs were left behind by a process that was stopped."""
        if self.finished(cell):
            return "finished"
        if self._failure(cell).exists():
            return "failed"
        with self.claim(cell) as mine:
            if not mine:
                return "running"
        return "begun" if (self.out / "runs" / cell).exists() else "to do"

    def finished(self, cell: str) -> bool:
        """Whether it is."""
        return self._result(cell).exists()

    def failed(self, cell: str) -> bool:
        """Whether its last attempt was."""
        return self._failure(cell).exists()

    @contextmanager
    def claim(self, cell: str) -> Iterator[bool]:
        """Takes a cell for this process while the block runs; yields False if another process has it.

        The lock is the operating system's, so that a process that is killed leaves nothing to be cleared away. Ask
        again what is finished once it is yours.
        """
        folder = self.out / "claims"
        folder.mkdir(parents=True, exist_ok=True)
        # It is deleted by nobody: a lock file that is removed could be locked by two at once.
        lock = FileLock(folder / f"{cell}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def keep(self, cell: str, record: Mapping[str, Any]) -> Path:
        """Writes down a finished cell, at once or not at all, and forgets an earlier failure."""
        path = self._result(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two grids may share this folder; their half-written files must not.
        write_json(path, {"format": FORMAT_VERSION, "id": cell, **record}, shared=True)
        self._failure(cell).unlink(missing_ok=True)
        return path

    def keep_failure(self, cell: str, facts: Mapping[str, Any], error: BaseException, trace: str) -> None:
        """Writes down what stopped a cell."""
        path = self._failure(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "id": cell,
            "cell": dict(facts),
            "error": type(error).__name__,
            "message": str(error),
            "trace": trace.splitlines(),
            "when": now(),
            "host": socket.gethostname(),
            "process": os.getpid(),
        }
        write_json(path, record)

    def failure(self, cell: str) -> dict[str, Any]:
        """What `keep_failure` wrote."""
        return _read(self._failure(cell))

    def result(self, cell: str) -> dict[str, Any]:
        """What `keep` wrote."""
        return _read(self._result(cell))

    def results(self) -> list[dict[str, Any]]:
        """All finished cells, in the order of their names.

        Raises:
            RunFolderError: If one is damaged, or of another format.
        """
        found = [_read(path) for path in sorted(self.cells.glob("*.json"))]
        for record in found:
            if record.get("format") != FORMAT_VERSION:
                raise RunFolderError(
                    f"The cell {record.get('id')} has format {record.get('format')!r}.",
                    f"This predgen reads format {FORMAT_VERSION}.",
                    "Remove it, and it is fitted again.",
                )
        return found

    def _result(self, cell: str) -> Path:
        return self.cells / f"{cell}.json"

    def _failure(self, cell: str) -> Path:
        return self.out / "failed" / f"{cell}.json"


def now() -> str:
    """The time, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise RunFolderError(
            f"The cell {path} cannot be read: {problem}.", remedy="Restore it, or remove it and it is fitted again."
        ) from None
    return record
