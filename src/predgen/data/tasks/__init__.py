"""The paper's data sets by name: `TASKS`, and `find`, which knows their other names too."""

from __future__ import annotations

import difflib

from predgen.data.tasks.arithmetic import ARITHMETIC
from predgen.data.tasks.classification import CLASSIFICATION
from predgen.data.tasks.multiple_choice import MULTIPLE_CHOICE
from predgen.data.tasks.regression import REGRESSION
from predgen.data.tasks.task import Task
from predgen.errors import DataError, nearest

TASKS: dict[str, Task] = {task.name: task for task in (*CLASSIFICATION, *MULTIPLE_CHOICE, *REGRESSION, *ARITHMETIC)}
_NAMES = {other: task for task in TASKS.values() for other in (task.name, *task.aliases)}


def known(name: str) -> bool:
    """Whether a task goes by this name, in any case."""
    return name.lower() in _NAMES


def find(name: str) -> Task:
    """A task by its name or an alias, in any case.

    Raises:
        DataError: If there is none; the message names the nearest.
    """
    if not known(name):
        raise DataError(f"Unknown task {name!r}:", nearest(name, {*TASKS, *_aliases(name)}))
    return _NAMES[name.lower()]


def _aliases(name: str) -> list[str]:
    """Aliases that are close to a name; all of them would be a long list."""
    return difflib.get_close_matches(name.lower(), _NAMES, n=1, cutoff=0.6)
