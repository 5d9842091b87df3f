"""Where the data sets' files are."""

from __future__ import annotations

import os
from pathlib import Path

DATA_ROOT = "PREDGEN_DATA"  # the environment variable that names the folder


def data_root(given: str | Path | None = None) -> Path | None:
    """The folder of data: as given, or as the environment names it; None where neither does."""
    root = given or os.environ.get(DATA_ROOT)
    return Path(root).expanduser() if root else None
