"""What commands and the demo share: where and how wide to print, what warnings say nothing, where files may go."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

from rich.console import Console

from predgen.errors import PredgenError


def open_console() -> Console:
    """A console on standard output; silent in all processes that a launcher started but the first.

    Off a terminal rich assumes 80 columns, which folds the tables of a log or a pipe.
    """
    return Console(width=None if sys.stdout.isatty() else 140, quiet=rank() > 0)


def rank() -> int:
    """Which of a launcher's processes this is; 0 where there is no launcher."""
    return int(os.environ.get("RANK", "0"))


def hush_known_warnings() -> None:
    """Filters what no user can change: peft 0.21 asks transformers 5.23 for an attribute by its old name."""
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")


def writable(path: str, read: str | None = None) -> Path:
    """Refuses an output that could not be written, or would replace what is read, before any work is done.

    Args:
        path: The file to write.
        read: What the command reads its rows from, if it may be a file.

    Raises:
        PredgenError: If it is a folder or the file that is read, or its folder cannot be made or written to.
    """
    target = Path(path)
    if target.is_dir():
        raise PredgenError(f"The output {target} is a folder.", "Expected a file to write.")
    if read is not None and target.exists() and target.resolve() == Path(read).expanduser().resolve():
        raise PredgenError(f"The output {target} is the file that is read.", remedy="Choose another output.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise PredgenError(f"The output {target} cannot be written: {problem.strerror}.") from problem
    if not os.access(target.parent, os.W_OK):
        raise PredgenError(f"The folder {target.parent} cannot be written to.", remedy="Choose another output.")
    return target
