"""How long a run will take and how much memory, from a few of its own steps; and how many steps fit a time budget."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from predgen.data.batches import TrainingRow, collate
from predgen.errors import ConfigError, ModelError
from predgen.memory import free_memory, out_of_memory
from predgen.training.passes import Division

# Seconds that an estimate may be wrong by must not be spent: a budget is filled up to this share.
_FILLED = 0.9


@dataclass(frozen=True)
class Estimate:
    """What the first steps say of the rest.

    Args:
        step_seconds: Of one optimizer step.
        dev_seconds: Of one evaluation.
        peak_bytes: The most memory that the longest batch took, the model included.
        longest: Tokens of the longest prompt.
        division: Of the rows of a step, into passes that fit into memory.
    """

    step_seconds: float
    dev_seconds: float
    peak_bytes: int
    longest: int
    division: Division

    def seconds(self, steps: int, evaluations: int) -> float:
        """Of a run, without loading and reporting."""
        return steps * self.step_seconds + evaluations * self.dev_seconds

    def steps_within(self, seconds: float, evaluations: int) -> int:
        """How many steps fit; may be 0."""
        left = _FILLED * seconds - evaluations * self.dev_seconds
        return max(0, math.floor(left / self.step_seconds))

    def line(self, steps: int, evaluations: int) -> str:
        """To be shown before training starts."""
        return (
            f"Estimate: {_spoken(self.seconds(steps, evaluations))} for {steps} steps ({self.step_seconds:.2g} s each) "
            f"and {evaluations} evaluations ({self.dev_seconds:.2g} s each); the longest batch ({self.longest} tokens "
            f"a prompt) fits, with {self.peak_bytes / 2**30:.1f} GiB at its peak."
        )


def estimate(
    method: nn.Module,
    rows: Sequence[TrainingRow],
    division: Division,
    score_some_dev: Callable[[], float],
    say: Callable[[str], None],
) -> Estimate:
    """Runs forward and backward on the longest pass and on two usual ones; weights and chance stay as they were.

    Args:
        method: On the device that it will be trained on.
        rows: The training rows.
        division: How the rows of a step are to be divided; a pass that is too large for memory is halved, by all
            processes alike.
        score_some_dev: Scores a few dev rows and returns the seconds that all of them would take.
        say: Takes one line at a time.

    Raises:
        ModelError: If memory does not hold the longest row alone.
    """
    device = next(method.parameters()).device
    by_length = sorted(range(len(rows)), key=lambda number: len(rows[number].ids))
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        method.train()
        while not _fits(method, [rows[number] for number in by_length[-division.width :]], device, division):
            if division.width == 1:
                raise ModelError(
                    f"Memory does not hold the longest row alone ({len(rows[by_length[-1]].ids)} tokens).",
                    remedy="Set train.gradient_checkpointing=true or train.precision=bf16, or shorten "
                    "prompt.max_tokens.",
                )
            halved = division.halved()
            say(
                f"{division.width} rows a pass are too many for memory: {halved.width} a pass, and {halved.passes} "
                f"passes in place of {division.passes} for a step's {division.step_rows} rows. (train.batch_size, "
                "train.accumulate)"
            )
            division = halved
        peak = _peak_bytes()
        seconds = min(_step(method, rows[: division.width], device) for _ in range(2))
        method.zero_grad(set_to_none=True)
        dev_seconds = score_some_dev()
    processes = division.processes
    return Estimate(
        step_seconds=processes.largest(seconds * division.passes),
        dev_seconds=processes.largest(dev_seconds),
        peak_bytes=int(processes.largest(peak)),
        longest=len(rows[by_length[-1]].ids),
        division=division,
    )


def _fits(method: nn.Module, rows: Sequence[TrainingRow], device: torch.device, division: Division) -> bool:
    """Whether a pass over these rows fits into every process's memory."""
    fits = True
    try:
        _step(method, rows, device)
    except (RuntimeError, MemoryError) as problem:
        if not out_of_memory(problem):
            raise
        fits = False
    if not fits:
        method.zero_grad(set_to_none=True)
        free_memory()
    return not division.processes.any(not fits)


def _step(method: nn.Module, rows: Sequence[TrainingRow], device: torch.device) -> float:
    batch: dict[str, Any] = {name: tensor.to(device) for name, tensor in collate(rows).items()}
    started = time.perf_counter()
    # A later step than any, so that the schedule's largest share of own tokens, which costs most, is what is timed.
    method(**batch, step=2**31).loss.backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _peak_bytes() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def seconds_of(budget: str) -> float:
    """``90s``, ``30m``, ``2h``, ``1h30m`` → seconds.

    Raises:
        ConfigError: If it is written in another way, or is nothing.
    """
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", budget.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = 3600.0 * hours + 60.0 * minutes + seconds
    if not total:
        raise ConfigError(f"train.time_budget={budget!r} is no time.", "Expected for example 90s, 30m or 1h30m.")
    return total


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
