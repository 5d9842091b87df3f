"""A benchmark's JSON file: settings and records, so that a long run can be stopped and gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def kept_records(path: Path | None, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The records that a file holds already; none if they were measured under other settings."""
    if path is None or not path.exists():
        return []
    kept = json.loads(path.read_text())
    records: list[dict[str, Any]] = kept["records"]
    return records if kept["settings"] == settings else []


def write_records(path: Path | None, settings: dict[str, Any], records: list[dict[str, Any]]) -> None:
    """Writes them all anew, beside the old file first, so that a kill loses nothing."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps({"settings": settings, "records": records}, indent=2) + "\n")
    beside.replace(path)
