"""A progress bar for work that is counted in rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from predgen.terminal import rank


@contextmanager
def counting(unit: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Shows a bar on a terminal, and nothing elsewhere.

    Args:
        unit: What is counted.
        total: How many there will be, if known.

    Yields:
        A function to be told how many more are done.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.3g}/s")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn())
    console = Console(quiet=rank() > 0)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(unit, total=total)
        yield lambda rows: bar.advance(task, rows)
