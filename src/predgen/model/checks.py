"""Settings that do not go with the task or its answers are refused before anything is trained."""

from __future__ import annotations

from predgen.answers.build import Table
from predgen.answers.spaces import FreeNumber, Space
from predgen.answers.tables import AnswerTable
from predgen.config import AnswerKind, DirectorKind, RunConfig, Task
from predgen.errors import ConfigError
from predgen.model.build_director import directors_of
from predgen.model.defaults import OF_STATES, OVER_ALL_ANSWERS, director_kind


def check_answers(config: RunConfig, kind: AnswerKind) -> None:
    """Refuses what does not go with several answers to one prompt.

    Raises:
        ConfigError: The message says what and why.
    """
    if kind == "single":
        return
    for name, value, one_only, why in (
        ("writer.loss_over", config.writer.loss_over, "all", "The prompt's tokens would count once for every field."),
        ("train.class_weights", config.train.class_weights, config.train.class_weights, "Which field's classes?"),
    ):
        if value == one_only and value != "none":
            raise ConfigError(f"{name}={value} does not go with several answers to a row.", why, f"Leave {name} out.")


def check_options(config: RunConfig, kind: AnswerKind, task: Task) -> None:
    """Refuses what does not go with options of each row's own.

    Raises:
        ConfigError: The message says what and why.
    """
    style = config.space.style
    if style == "labels":
        return
    for name, value, fits, why in (
        (
            "task",
            task if kind == "single" else kind,
            kind == "single" and task == "classification",
            "Labels name them.",
        ),
        ("method", config.method, config.method == "generator", "A director or head knows labels, not what they say."),
        ("prompt.long", config.prompt.long, config.prompt.long != "windows", "Windows share one list of answers."),
        (
            "writer.normalise",
            config.writer.normalise,
            config.writer.normalise != "space",
            "Rows share no list of tokens.",
        ),
    ):
        if not fits:
            raise ConfigError(
                f"{name}={value} does not go with space.style={style}.", why, f"Choose another {name}, or style=labels."
            )


def check_director(config: RunConfig, task: Task, space: Space) -> None:
    """Refuses a director that does not read the task, or what it is told to, and what needs a list where there is none.

    Raises:
        ConfigError: The message lists what does.
    """
    fitting = directors_of(task)
    kind = director_kind(config, task, space)
    if kind not in fitting:
        raise ConfigError(f"The director {kind!r} does not read a {task}.", f"Expected one of {sorted(fitting)}.")
    _check_reads(config, kind, task)
    if not isinstance(space, FreeNumber):
        return
    for name, value, needs in (
        *(("director.kind", kind, director) for director in OVER_ALL_ANSWERS),
        ("writer.normalise", config.writer.normalise, "space"),
        ("prompt.long", config.prompt.long, "windows"),
    ):
        if value == needs:
            raise ConfigError(
                f"{name}={needs} needs a list of all answers, and free numbers have none.",
                remedy=f"Choose another {name}, or space.kind=grid where the numbers lie close together.",
            )


def _check_reads(config: RunConfig, kind: DirectorKind, task: Task) -> None:
    settings = config.director
    if config.method != "predgen" or settings.reads == "answer":
        return
    if kind not in OF_STATES:
        raise ConfigError(
            f"director.reads={settings.reads} does not go with director.kind={kind}, which reads no states.",
            remedy=f"Choose one of {sorted(set(OF_STATES) & set(directors_of(task)))}, or leave director.reads out.",
        )
    if settings.pooling != "attention":
        raise ConfigError(
            f"director.reads={settings.reads} does not go with director.pooling={settings.pooling}.",
            "It is attention that finds its way from where the answer begins.",
            "Choose director.pooling=attention, or leave director.reads out.",
        )


def check_search(config: RunConfig, task: Task, space: Space, table: Table) -> None:
    """Refuses what needs every answer's probability where answers are searched for.

    Raises:
        ConfigError: The message says what else there is.
    """
    if not isinstance(table, AnswerTable) or table.exact or config.method == "predictor":
        return
    asked: dict[str, str] = {}
    if config.prompt.long == "windows" and task == "regression":
        asked["prompt.long"] = "windows"
    kind = director_kind(config, task, space)
    if config.method == "predgen" and kind in OVER_ALL_ANSWERS:
        asked["director.kind"] = kind
    for name, value in asked.items():
        raise ConfigError(
            f"{name}={value} needs the probability of every answer, and "
            f"{table.answers:,} answers of {table.inner.shape[0]:,} inner nodes are searched for.",
            remedy=f"Choose another {name}, or raise search.exact_nodes.",
        )
