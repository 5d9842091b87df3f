"""What a cell will take, by arithmetic and before anything is loaded; within a factor of two or three.

Once training starts, `predgen.training.estimate` knows better: it times a run's own steps.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from predgen.config import RunConfig
from predgen.data.tasks import find
from predgen.data.tasks.task import Task
from predgen.data.templates import render
from predgen.errors import ModelError
from predgen.reproduce.cell import Cell, config_of, rates_of, reports_of, settings_of, total_steps
from predgen.reproduce.models import Size, find_model
from predgen.reproduce.scales import find_scale
from predgen.reproduce.smoke import read_sample

# A token of English is four characters, and a sample row is shorter than most.
_CHARACTERS_A_TOKEN, _LONGER_THAN_SAMPLE = 4.0, 1.5
_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
_LEARNED_BYTES = 16  # a weight in float32, its gradient, and Adam's two averages
_RUNTIME = 1 << 30  # libraries and buffers
_REACHED = 0.35  # of a matrix product's speed, by whole passes of a small model


@dataclass(frozen=True)
class Cost:
    """An estimate.

    Args:
        memory: Bytes at the peak of training.
        seconds: Of the whole cell, all its rates.
        measured: Whether the seconds are those of finished cells of the same kind.
    """

    memory: int
    seconds: float
    measured: bool


def cost_of(cell: Cell, speed: float, finished: Iterable[Mapping[str, Any]] = ()) -> Cost | None:
    """What a cell takes; None of a model that nothing is known of.

    Args:
        cell: The cell.
        speed: Floating-point operations a second, as `matrix_speed` measures them.
        finished: Records of finished cells; those that differ by seed alone are better than arithmetic.
    """
    size = find_model(cell.model).size
    if size is None:
        return None
    config, task = config_of(cell, rates_of(cell)[0]), find(cell.task)
    alike = [record["seconds"] for record in finished if _kind(record["cell"]) == _kind(cell.facts())]
    seconds = statistics.median(alike) if alike else _operations(cell, task, config, size) / (_REACHED * speed)
    return Cost(_memory(config, task, size), seconds, bool(alike))


def check_memory(cell: Cell, available: int, of: str) -> None:
    """Refuses a cell whose model does not fit, before anything is loaded.

    Args:
        cell: The cell.
        available: Bytes; 0 where that is not known, and nothing is refused.
        of: What has them.

    Raises:
        ModelError: The message says how much it takes.
    """
    size = find_model(cell.model).size
    if size is None or not available:
        return
    needed = _memory(config_of(cell, rates_of(cell)[0]), find(cell.task), size)
    if needed > available:
        raise ModelError(
            f"{find_model(cell.model).name} at the scale {cell.scale} needs about {needed / 2**30:.0f} GiB, "
            f"and {of} has {available / 2**30:.0f} GiB.",
            remedy="Run it on a larger machine; --models and --shard say what runs where.",
        )


def matrix_speed() -> float:
    """Floating-point operations a second of a matrix product on this machine, in a fraction of a second."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = 4096 if device == "cuda" else 512
    square = torch.ones(size, size, device=device)
    fastest = float("inf")
    for _ in range(40):  # the fastest of many, so that what else is running does not count
        started = time.perf_counter()
        product = square @ square
        _ = product[0, 0].item()  # waits for a GPU
        fastest = min(fastest, time.perf_counter() - started)
    return 2.0 * size**3 / fastest


def prompt_tokens(task: Task, config: RunConfig) -> int:
    """A usual prompt's, by the task's sample row."""
    characters = len(render(task.template, read_sample(task))) + len(task.cue)
    tokens = round(_LONGER_THAN_SAMPLE * characters / _CHARACTERS_A_TOKEN)
    return min(tokens, config.prompt.max_tokens or tokens)


def answer_tokens(task: Task) -> int:
    """A usual answer's: worked solutions are long, all else is a few tokens."""
    return 150 if task.kind == "arithmetic" else 4


def _kind(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != "seed"}


def _operations(cell: Cell, task: Task, config: RunConfig, size: Size) -> float:
    """Two operations a parameter and token forward, as many again to send the error back: the base does not learn."""
    tokens = prompt_tokens(task, config) + answer_tokens(task)
    steps = total_steps(task, settings_of(cell, rates_of(cell)[0]))
    trained = steps * config.train.batch_size * config.train.accumulate * tokens
    all_dev = task.rows.get(task.dev or "train", 0)
    dev_rows = (config.data.dev_max_rows or all_dev) if config.data.dev else config.data.dev_size
    dev = (dev_rows if dev_rows > 1 else dev_rows * all_dev) * config.train.evaluations * tokens
    most = find_scale(cell.scale).report_rows
    scored = sum(min(where.rows[split], most or where.rows[split]) for where, split in reports_of(task)) * tokens
    writes = 1.0 if config.method == "predictor" else 1.3
    return writes * size.parameters * (len(rates_of(cell)) * (4.0 * trained + 2.0 * dev) + 2.0 * scored)


def _memory(config: RunConfig, task: Task, size: Size) -> int:
    byte = _BYTES[config.train.precision]
    learned = size.parameters if config.peft.method == "full" else size.adapter_parameters(config.peft.rank)
    tokens = config.train.batch_size * (prompt_tokens(task, config) + answer_tokens(task))
    # What a layer keeps for the backward pass: some eight states, three inner ones, and queries, keys and values.
    kept = tokens * size.layers * (8 * size.hidden + 3 * size.inner + 2 * size.key_value) * byte
    answers = config.train.batch_size * answer_tokens(task) * size.vocabulary * 4 * 2
    if config.train.gradient_checkpointing:
        # One layer's at a time, and of each what it is computed again from, and the prompt's keys and values.
        kept = kept // size.layers + tokens * size.layers * (size.hidden + 2 * size.key_value) * byte
    return _RUNTIME + size.parameters * byte + learned * _LEARNED_BYTES + kept + answers
