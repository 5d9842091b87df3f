"""An optimizer step that is begun again, in smaller passes, when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from predgen.errors import ModelError
from predgen.memory import free_memory, out_of_memory
from predgen.training.checkpoints import random_state, restore_random_state
from predgen.training.passes import Division, split_batch

Batch = dict[str, Any]


class RedoneStep:
    """Takes the passes of an optimizer step, and takes them again in smaller ones where memory runs out.

    Args:
        division: How steps are divided; the largest pass that it allows is the first that is tried.
        say: Takes one line at a time.
    """

    def __init__(self, division: Division, say: Callable[[str], None]) -> None:
        self._division, self._say = division, say
        self._number = -1
        self._taken: list[Batch] = []
        self.window = self.window_rows = 0  # as `begin` was told

    def begin(self, number: int, window: int, window_rows: int) -> None:
        """Notes where a step begins; once it has begun, nothing.

        Args:
            number: The step's.
            window: How many passes, and
            window_rows: how many rows are noted for the next log.
        """
        if number != self._number:
            self._number, self._taken = number, []
            self.window, self.window_rows = window, window_rows
            self._chance = random_state() if self._division.processes.count == 1 else None

    def take(self, batch: Batch, one: Callable[[Batch], Tensor], forget: Callable[[], None]) -> Tensor:
        """Takes a pass, divided as far as memory asks for.

        Args:
            batch: Its rows, as `StepLoader` gives them.
            one: Forward and backward.
            forget: Takes back all that the step's passes have left, their gradients among it.

        Returns:
            The sum of what `one` returned for its parts.

        Raises:
            ModelError: If memory runs out over a single row, or where several processes work together.
        """
        self._taken.append(batch)
        while True:
            try:
                return torch.stack([one(part) for part in split_batch(batch, self._division.most)]).sum()
            except (RuntimeError, MemoryError) as problem:
                if not out_of_memory(problem):
                    raise
                self._refuse_if_hopeless(problem)
            # Outside, where the error no longer holds what it failed over.
            while not self._again(one, forget):
                pass

    def _again(self, one: Callable[[Batch], Tensor], forget: Callable[[], None]) -> bool:
        """Takes the passes before the one at hand again, halved; whether memory was enough.

        A backward pass that broke off has left some gradients, which cannot be told from those of the passes before.
        """
        self._division = self._division.halved()
        self._say(
            f"Memory ran out at step {self._number}: from here on {self._division.most} rows a pass, and as many "
            f"passes as make up a step of {self._division.step_rows} rows. (train.batch_size, train.accumulate)"
        )
        forget()
        free_memory()
        assert self._chance is not None  # several processes have been refused
        restore_random_state(*self._chance)
        try:
            for batch in self._taken[:-1]:
                for part in split_batch(batch, self._division.most):
                    one(part)
        except (RuntimeError, MemoryError) as problem:
            if not out_of_memory(problem):
                raise
            self._refuse_if_hopeless(problem)
            return False
        return True

    def _refuse_if_hopeless(self, problem: BaseException) -> None:
        rows, processes = self._division.width, self._division.processes
        if rows == 1:
            raise ModelError(
                f"Memory ran out over a single row at step {self._number}.",
                remedy="Set train.gradient_checkpointing=true or train.precision=bf16, or shorten prompt.max_tokens.",
            ) from problem
        if processes.count > 1:
            # In the middle of a pass others already wait for this one's gradients, and cannot be told to begin again.
            size = max(number for number in range(1, rows) if self._division.step_rows % number == 0)
            raise ModelError(
                f"Memory ran out over {rows} rows in process {processes.rank} of {processes.count} at step "
                f"{self._number}.",
                remedy=f"Go on with --resume --set train.batch_size={size} --set "
                f"train.accumulate={self._division.step_rows // size}: the same steps, in smaller passes.",
            ) from problem
