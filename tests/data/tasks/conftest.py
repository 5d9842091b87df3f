from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from predgen.data.table import Row
from predgen.data.tasks import rows as task_rows
from predgen.data.tasks.task import HubCopy, Task

Write = Callable[..., Path]


_SOLVED = {"gsm8k": "answer", "math10k": "answer", "svamp": "Answer", "svamp1000": "Answer"}


def variants(task: Task, count: int = 20) -> list[Row]:
    """The sample row again and again, its first text and its target varied."""
    rows = []
    for number in range(count):
        row = dict(task.sample)
        first = next(column for column in task.columns if isinstance(row[column], str))
        row[first] = f"{number}: {row[first]}"
        if task.labels:
            raw, old = list(task.labels)[number % len(task.labels)], row[task.target]
            row[task.target] = raw == "true" if isinstance(old, bool) else type(old)(raw)
        elif task.kind == "regression":
            low, high = task.space["low"], task.space["high"]
            row[task.target] = low + (high - low) * number / count
        elif task.name == "gsm8k":
            row["answer"] = f"It is {number}.\n#### {number}"
        elif task.name in _SOLVED:
            row[_SOLVED[task.name]] = number
        else:
            row["lSolutions"] = [number]
        rows.append(row)
    return rows


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes rows of a task as a folder of data has them; nothing is ever asked of the hub."""

    def offline(hub: HubCopy, split: str) -> list[Row]:
        raise OSError(f"no network for {hub.name}.")

    monkeypatch.delenv("PREDGEN_DATA", raising=False)
    monkeypatch.setattr(task_rows, "load_from_hub", offline)

    def made(task: Task, rows: list[Row] | None = None, splits: tuple[str, ...] | None = None) -> Path:
        for split in splits or tuple(task.rows):
            file = tmp_path / "data" / task.name / f"{split}.jsonl.gz"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(gzip.compress("\n".join(map(json.dumps, rows or variants(task))).encode()))
        return tmp_path / "data"

    return made
