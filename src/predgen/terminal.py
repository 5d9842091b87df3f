"""What the command line and the demo share: where and how wide to print, and which warnings say nothing to a user."""

from __future__ import annotations

import sys
import warnings

from rich.console import Console


def open_console() -> Console:
    """A console on standard output.

    Off a terminal rich assumes 80 columns, which folds the tables of a log or a pipe.
    """
    return Console(width=None if sys.stdout.isatty() else 140)


def hush_known_warnings() -> None:
    """Filters what no user can change: peft 0.21 asks transformers 5.23 for an attribute by its old name."""
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
