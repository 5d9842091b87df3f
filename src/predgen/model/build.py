"""Settings → method: the one place where names become modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from predgen.answers.tables import AnswerTable
from predgen.config import RunConfig, Task
from predgen.errors import ConfigError, nearest
from predgen.model.baselines import Generator, Predictor
from predgen.model.director import ClassDirector, OrderedPenalty, ValueDirector
from predgen.model.losses import joint_loss
from predgen.model.predgen import PredGen
from predgen.model.sampling import LinearSchedule
from predgen.model.writer import Writer


@dataclass(frozen=True)
class Setting:
    """What a method is built from, besides its writer.

    Args:
        config: The run's settings.
        task: The task, decided.
        total_steps: Optimizer steps of the whole run; the schedule's share is taken of it.
        mean: The training targets' mean (numbers; 0 for classes).
        spread: Their standard deviation, positive (numbers; 1 for classes).
    """

    config: RunConfig
    task: Task
    total_steps: int
    mean: float
    spread: float


def build_method(writer: Writer, table: AnswerTable, setting: Setting) -> nn.Module:
    """Builds the method that the settings name.

    Raises:
        ConfigError: If the method, loss or director is unknown or does not go with the task.
    """
    check_names(setting.config)
    check_director(setting.config, setting.task)
    return _BUILDERS[setting.config.method](writer, table, setting)


def check_names(config: RunConfig) -> None:
    """Refuses unknown methods and losses before anything is read.

    Raises:
        ConfigError: The message lists the known.
    """
    if config.method not in _BUILDERS:
        raise ConfigError(f"Unknown method {config.method!r}:", nearest(config.method, _BUILDERS))
    joint_loss(config.loss)


def check_director(config: RunConfig, task: Task) -> None:
    """Refuses a director that does not read the task.

    Raises:
        ConfigError: The message lists those that do.
    """
    fitting = ["mean"] if task == "classification" else ["value", "ordered"]
    if config.director.kind is not None and config.director.kind not in fitting:
        raise ConfigError(
            f"The director {config.director.kind!r} does not read a {task}.", f"Expected one of {fitting}."
        )


def _predictor(writer: Writer, table: AnswerTable, setting: Setting) -> nn.Module:
    outputs = table.answers if setting.task == "classification" else 1
    pooling = setting.config.predictor.pooling
    return Predictor(writer, setting.task, outputs, pooling, setting.mean, setting.spread)


def _generator(writer: Writer, table: AnswerTable, setting: Setting) -> nn.Module:
    return Generator(writer, table)


def _predgen(writer: Writer, table: AnswerTable, setting: Setting) -> nn.Module:
    config = setting.config
    sampling = config.sampling
    steps = sampling.steps * setting.total_steps if sampling.steps <= 1 else sampling.steps
    return PredGen(
        writer=writer,
        table=table,
        director=_director(writer, table, setting),
        joint=joint_loss(config.loss),
        schedule=LinearSchedule(sampling.start, sampling.end, max(1, round(steps))),
        mode=sampling.mode,
        director_history=config.director.history,
        seed=config.train.seed,
    )


def _director(writer: Writer, table: AnswerTable, setting: Setting) -> nn.Module:
    if setting.task == "classification":
        return ClassDirector(writer.hidden_size, table.answers)
    if setting.config.director.kind == "ordered":
        return OrderedPenalty()
    return ValueDirector(writer.hidden_size, setting.mean, setting.spread)


_BUILDERS: dict[str, Callable[[Writer, AnswerTable, Setting], nn.Module]] = {
    "predictor": _predictor,
    "generator": _generator,
    "predgen": _predgen,
}
METHOD_NAMES = tuple(_BUILDERS)
