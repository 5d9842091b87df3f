"""What may end or bend a run while it trains: signals, the clock, and gradients that are no numbers."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from predgen.config import TrainConfig
from predgen.errors import ModelError
from predgen.processes import ALONE, Processes
from predgen.sharded import whole

_MOST_SKIPPED = 20  # in a row; a run that learns nothing any more should not look as if it did


class StopOnSignal(TrainerCallback):
    """Ctrl-C, or a scheduler's SIGTERM, ends training after the step at hand, with a checkpoint; a second at once.

    Args:
        processes: Those that train together; what one is told all obey, after the same step.
    """

    def __init__(self, processes: Processes = ALONE) -> None:
        self.asked = False
        self._processes = processes

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catches the signals while the block runs; elsewhere than in the main thread nobody could."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def note(number: int, frame: FrameType | None) -> None:
            self.asked = True
            signal.signal(number, before[signal.Signals(number)])

        for number in before:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Asks the Trainer to save and stop."""
        self.asked = self._processes.any(self.asked)
        if self.asked:
            control.should_save = control.should_training_stop = True


class TimeBudget(TrainerCallback):
    """Ends training when its time is up, with a last evaluation, however good the estimate was.

    Args:
        seconds: From the first step on.
        say: Told when time ran out early.
        processes: Those that train together; they stop after the same step.
    """

    def __init__(self, seconds: float, say: Callable[[str], None], processes: Processes = ALONE) -> None:
        self._seconds, self._say, self._processes = seconds, say, processes
        self._start = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Starts the clock."""
        self._start = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Looks at the clock."""
        over = self._processes.any(time.monotonic() - self._start > self._seconds)
        if over and state.global_step < state.max_steps:
            self._say(f"The time budget is used up at step {state.global_step} of {state.max_steps}.")
            control.should_evaluate = control.should_save = control.should_training_stop = True


class FiniteGuard(TrainerCallback):
    """Keeps losses and gradients of NaN or infinity away from the weights: by stopping, or by leaving the step out.

    Args:
        config: on_nonfinite and precision are read.
        numbers: Of each training prompt its row's position in the source, by which messages name it.
        processes: Those that train together. A loss is left out by the process whose it is; a step, by all or none.
    """

    def __init__(self, config: TrainConfig, numbers: Sequence[int], processes: Processes = ALONE) -> None:
        self._processes, self._numbers = processes, numbers
        self._stops = config.on_nonfinite == "stop"
        # In fp16 infinite gradients are the loss scaler's daily business: it leaves these steps out itself.
        self._watches_gradients = config.precision != "fp16"
        self.skipped = 0
        self._in_a_row = 0
        self._rows: list[int] = []  # whose gradient is at hand
        self._refused = False  # whether a loss of the step at hand was

    def refuses(self, loss: torch.Tensor, step: int, rows: list[int]) -> bool:
        """Whether a loss must not be differentiated.

        Raises:
            ModelError: If it is not finite and the run is to stop; the message names the rows.
        """
        if torch.isfinite(loss):
            self._rows += rows
            return False
        self._refused = True
        self._count(f"loss became {loss.item()}", step, rows)
        return True

    def forget(self) -> None:
        """Forgets the losses of the step at hand, which is taken again."""
        self._rows, self._refused = [], False

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Takes gradients away that are not finite: the optimizer leaves parameters without one as they are."""
        rows, refused = self._rows, self._refused
        self.forget()
        learned = self._processes.any(bool(rows))
        parameters = [parameter for parameter in kwargs["model"].parameters() if parameter.grad is not None]
        if learned and (not self._watches_gradients or _all_finite(parameters)):
            self._in_a_row = self._in_a_row if refused else 0
            return
        if learned:
            self._count("gradient became infinite or no number", state.global_step, rows)
        for parameter in parameters:
            parameter.grad = None

    def _count(self, what: str, step: int, rows: list[int]) -> None:
        self.skipped += 1
        self._in_a_row += 1
        if self._stops or self._in_a_row > _MOST_SKIPPED:
            again = "" if self._stops else f", for the {self._in_a_row}th time in a row"
            named = sorted({self._numbers[row] for row in rows})
            raise ModelError(
                f"The {what} at step {step}, on training rows {named}{again}.",
                remedy="Lower train.learning_rate or train.clip, look at these rows, or set train.on_nonfinite=skip; "
                "nothing of this step was saved.",
            )


def _all_finite(parameters: Sequence[nn.Parameter]) -> bool:
    norms = [whole(parameter.grad.norm()) for parameter in parameters if parameter.grad is not None]
    return bool(torch.isfinite(torch.stack(norms)).all())
