"""How training will go: on which device, for how many steps, in which passes, and what that takes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from predgen.config import RunConfig
from predgen.data.batches import TrainingRow, behind_a_head
from predgen.errors import ConfigError
from predgen.model.method import Method
from predgen.model.record import RecordMethod
from predgen.model.shared_head import head_length
from predgen.processes import Processes
from predgen.scoring import score_answers
from predgen.sharded import asked_to_shard
from predgen.training.bench import Bench
from predgen.training.estimate import Estimate, estimate
from predgen.training.factory import MethodFactory
from predgen.training.passes import Division, division_of, say_division
from predgen.training.prepare import Say
from predgen.training.training_rows import training_rows


@dataclass(frozen=True)
class Course:
    """What the trainer is given.

    Args:
        config: The settings, with the number of steps where a time budget decided it.
        method: On the device that it is trained on; where weights will be divided among GPUs, not on one before.
        device: Where it belongs.
        rows: To train on.
        numbers: Of each its position in the source.
        division: Of a step's rows into passes and among processes.
        total_steps: Optimizer steps.
    """

    config: RunConfig
    method: Method[Any] | RecordMethod
    device: torch.device
    rows: Sequence[TrainingRow]
    numbers: Sequence[int]
    division: Division
    total_steps: int


def set_course(factory: MethodFactory, processes: Processes, under_way: bool = False) -> Course:
    """Builds the method, tries a few of its steps and fits the run into memory and time.

    Args:
        factory: Builds the method.
        processes: That work together.
        under_way: Whether some steps are done: how many there are in all, which schedules follow, stays as it was then,
            and a time budget only says when to stop.

    Raises:
        ConfigError: If a time budget cannot be kept to.
        ModelError: If memory does not hold the longest row.
    """
    plan, bench, say = factory.plan, factory.bench, factory.say
    config = plan.config
    rows = training_rows(config, plan.prepared, bench)
    total_steps = _total_steps(config, len(rows))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # Weights that are going to be divided among GPUs need not fit into one before.
    sharding = asked_to_shard()
    method = factory.build(total_steps)
    method = method if sharding else method.to(device)
    if method.learns_behind_heads and not sharding:  # a head is read outside of the layers' own passes
        rows = behind_a_head(rows, head_length([row.ids for row in rows]))
    division = division_of(config.train, len(rows), processes)
    expected = None if sharding else _estimate(method, rows, bench, config, division, say)
    division = division if expected is None else expected.division
    say_division(config, division, say)
    if plan.seconds is not None and config.train.max_steps is None and not under_way:
        if expected is None:
            raise ConfigError(
                "train.time_budget under FSDP:", "what a step takes is not known.", "Set train.max_steps."
            )
        fitting = expected.steps_within(plan.seconds, config.train.evaluations)
        if fitting < total_steps:
            say(f"A time budget of {config.train.time_budget} leaves room for {fitting} of {total_steps} steps.")
            total_steps = max(1, fitting)
            # The first base carries an adapter already, and schedules follow the number of steps.
            method = factory.rebuild(total_steps).to(device)
        config = replace(config, train=replace(config.train, max_steps=total_steps))
    trained = sum(parameter.numel() for parameter in method.parameters() if parameter.requires_grad)
    say(f"Training {config.method} on {bench.base.name}: {trained:,} parameters learn, by {plan.metric} on dev.")
    if expected is not None:
        say(expected.line(total_steps, min(config.train.evaluations, total_steps)))
    numbers = [plan.prepared.train.numbers[row] for row in bench.prompts["training"].rows]
    return Course(config, method, device, rows, numbers, division, total_steps)


def _total_steps(config: RunConfig, rows: int) -> int:
    if config.train.max_steps is not None:
        return config.train.max_steps
    batches = math.ceil(rows / config.train.batch_size)
    return max(1, math.ceil(config.train.epochs * math.ceil(batches / config.train.accumulate)))


def _estimate(
    method: nn.Module, rows: Sequence[TrainingRow], bench: Bench, config: RunConfig, division: Division, say: Say
) -> Estimate:
    encoded, size = bench.prompts["dev"], config.train.eval_batch_size
    dev, options = encoded.prompts, encoded.options

    def score_some_dev() -> float:
        started = time.perf_counter()
        score_answers(method, dev[:size], size, options=None if options is None else options[:size])
        return (time.perf_counter() - started) * len(dev) / len(dev[:size])

    return estimate(method, rows, division, score_some_dev, say)
