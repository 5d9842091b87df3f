"""Where a run's curves are shown besides its own log: the trackers that transformers' Trainer knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from predgen.errors import ConfigError, nearest

TENSORBOARD = "tensorboard"


def check_trackers(names: Sequence[str]) -> None:
    """Refuses unknown trackers before anything is read.

    Raises:
        ConfigError: The message lists the known.
    """
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            raise ConfigError(f"train.report_to names {name!r}:", nearest(name, INTEGRATION_TO_CALLBACK))


def tracker_callbacks(names: Sequence[str], folder: Path, first_step: int) -> list[TrainerCallback]:
    """A callback a tracker.

    Args:
        names: As in `train.report_to`.
        folder: The run folder; TensorBoard's files go to its tensorboard/, not to the checkpoints, which are removed.
        first_step: Where training goes on; what TensorBoard was told of later steps is taken back.

    Raises:
        ConfigError: If a tracker's library is not installed.
    """
    callbacks: list[TrainerCallback] = []
    for name in names:
        try:
            if name == TENSORBOARD:
                from torch.utils.tensorboard import SummaryWriter

                writer = SummaryWriter(str(folder / TENSORBOARD), purge_step=first_step + 1)
                callbacks.append(INTEGRATION_TO_CALLBACK[name](writer))
            else:
                callbacks.append(INTEGRATION_TO_CALLBACK[name]())
        except (ImportError, RuntimeError) as problem:
            raise ConfigError(
                f"The tracker {name!r} cannot be used: {problem}", remedy=f"pip install {name}, or leave it out."
            ) from problem
    return callbacks
