"""What a task says of a run's settings, laid under what the user says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from predgen.data.tasks.rows import task_source
from predgen.data.tasks.task import TRAINED


def task_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings to lay under those of a run; empty where its source is no task.

    What the user asks differently takes what belongs to the task's own question along: with another target, the cue,
    the answer space and the metric are inferred again.

    Args:
        settings: What the user says.

    Raises:
        DataError: If the source is a task's name with a split that it has not.
    """
    data = settings.get("data")
    source = data.get("source") if isinstance(data, Mapping) else None
    named = task_source(source) if isinstance(source, str) else None
    if named is None:
        return {}
    assert isinstance(data, Mapping)
    task, split = named
    space = settings.get("space")
    under = task.settings(str(space.get("style", "labels")) if isinstance(space, Mapping) else "labels")
    del under["data"]["source"]  # as the user writes it
    if split != TRAINED:
        # Rows that are trained on now must not be reported too.
        under["data"].pop("dev", None)
        under["data"].pop("eval", None)
    if data.get("text") is not None:
        del under["data"]["template"]
    another = data.get("target") not in (None, task.target)
    if another or settings.get("task", "auto") not in ("auto", task.answers):
        under["data"].pop("label_names", None)
        under["data"].pop("options", None)
        return {"data": under["data"]}
    return under
