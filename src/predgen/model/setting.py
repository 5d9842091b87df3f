"""What a method is built from, besides its writer and its answers."""

from __future__ import annotations

from dataclasses import dataclass

from predgen.answers.spaces import Space
from predgen.config import RunConfig, Task
from predgen.model.scale import Scale


@dataclass(frozen=True)
class Setting:
    """What a method is built from, besides its writer.

    Args:
        config: The run's settings.
        task: The task, decided.
        space: The answers.
        total_steps: Optimizer steps of the whole run; the schedule's share is taken of it.
        scale: Of the training targets, where they are numbers.
    """

    config: RunConfig
    task: Task
    space: Space
    total_steps: int
    scale: Scale
