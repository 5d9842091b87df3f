"""Settings → method: the one place where names become modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from predgen.answers.build import Table
from predgen.answers.option_table import OptionTable
from predgen.answers.spaces import FreeNumber, Grid, Space
from predgen.answers.tables import AnswerTable
from predgen.config import AnswerKind, DirectorKind, Normalise, RunConfig, Scoring, Task, WriterStart
from predgen.decoding.fields import one_tree
from predgen.errors import ConfigError, nearest
from predgen.model.baselines import Generator, Predictor
from predgen.model.checkpointing import checkpoint_layers, keeps_cache
from predgen.model.director import (
    ClassDirector,
    ExpectedValue,
    NumberTokenLoss,
    OrderedPenalty,
    RankedProbability,
    ReleasedOrderedPenalty,
    ValueDirector,
    VocabularyDirector,
)
from predgen.model.half import train_by_parts
from predgen.model.losses import joint_loss
from predgen.model.method import Method, WritingMethod
from predgen.model.options import OptionGenerator
from predgen.model.pooling import build_pool
from predgen.model.predgen import PredGen, Sampling
from predgen.model.record import RecordMethod
from predgen.model.rereading import PathwiseWriter, RereadingWriter
from predgen.model.scale import Scale
from predgen.model.schedules import build_schedule
from predgen.model.tree_predgen import TreePredGen
from predgen.model.writer import Writer
from predgen.model.writer_loss import WriterLoss


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


def build_method(writer: Writer, table: Table, setting: Setting) -> Method[Any]:
    """Builds the method that the settings name.

    Raises:
        ConfigError: If the method, loss or director is unknown, or does not go with the task or the answers.
    """
    check_names(setting.config)
    check_director(setting.config, setting.task, setting.space)
    return _BUILDERS[setting.config.method](writer, table, setting)


def build_fields_method(
    writer: Writer, tables: Sequence[Table], cues: Sequence[Sequence[int]], settings: Sequence[Setting]
) -> Method[Any] | RecordMethod:
    """The method of one answer, or of several to the same prompt.

    Args:
        writer: The adapted language model.
        tables: Each field's answers.
        cues: Each field's cue; none where there is one answer.
        settings: Each field's.

    Raises:
        ConfigError: As `build_method` says.
    """
    methods = [build_method(writer, table, setting) for table, setting in zip(tables, settings, strict=True)]
    tokens = _answer_tokens(methods)
    if tokens is not None and any(map(_over_vocabulary, methods)):
        writer.choose_among(tokens)
    elif tokens is not None:
        writer.project_to(tokens)
    if len(methods) == 1 and not cues[0]:
        return methods[0]
    writes = all(isinstance(method, WritingMethod) for method in methods)  # a head has nothing to branch
    return RecordMethod(methods, cues, one_tree(cues, tables) if writes else None)


def build_writer(lm: Any, config: RunConfig, scoring: Scoring) -> Writer:
    """The writer that suits the model and the settings.

    Args:
        lm: The adapted language model.
        config: train.gradient_checkpointing is read.
        scoring: Whether the model's answers branch from one cached prompt.
    """
    if lm.get_input_embeddings().weight.dtype == torch.bfloat16:
        train_by_parts(lm)
    if config.train.gradient_checkpointing:
        checkpoint_layers(lm)
    if scoring == "paths":
        return PathwiseWriter(lm)
    rereads = config.train.gradient_checkpointing and not keeps_cache(lm)
    return RereadingWriter(lm) if rereads else Writer(lm)


def check_names(config: RunConfig) -> None:
    """Refuses unknown methods and losses, and settings that exclude each other, before anything is read.

    Raises:
        ConfigError: The message lists the known.
    """
    if config.method not in _BUILDERS:
        raise ConfigError(f"Unknown method {config.method!r}:", nearest(config.method, _BUILDERS))
    if config.loss is not None:
        joint_loss(config.loss)
    if config.method == "predgen" and config.sampling.own == "free":
        for name, value in (("sampling.mode", config.sampling.mode), ("writer.normalise", config.writer.normalise)):
            if value in ("parallel", "space"):
                raise ConfigError(
                    f"sampling.own=free does not go with {name}={value}.",
                    "Free tokens leave the answer space, which that setting walks along.",
                    f"Choose sampling.own=greedy, or another {name}.",
                )


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


def director_kind(config: RunConfig, task: Task, space: Space) -> DirectorKind:
    """The director that the settings mean: the default, and the released profile's, follow the task.

    Numbers are read as the posterior's expected value where they can be listed: in `benchmarks/ablations.py` none of
    the paper's directors came near it. It scores every answer in every step; the paper's own, a value read from the
    answer's states, is the default where they are more than `EXPECTED_OVER`, or have no list.
    """
    kind = config.director.kind
    if kind is None:
        if task == "classification":
            return "class"
        return "expected" if isinstance(space, Grid) and len(space) <= EXPECTED_OVER else "value"
    if kind == "released":
        return "vocabulary" if task == "classification" else "ordered_released"
    return kind


def start_of(config: RunConfig, task: Task, space: Space) -> WriterStart:
    """Where the writer starts, as the settings mean it.

    A probe is the default for numbers whose probabilities are what is learned and reported: by a generator, or behind a
    director that scores them, however the losses are joined. The paper's directors read states, which it leaves alone.
    """
    if config.writer.start is not None:
        return config.writer.start
    if config.method == "predictor" or config.writer.normalise == "vocabulary" or not isinstance(space, Grid):
        return "base"
    learned = config.method == "generator" or director_kind(config, task, space) in _OVER_ALL_ANSWERS
    return "probe" if learned else "base"


def loss_name(config: RunConfig, task: Task, space: Space) -> str:
    """The joint loss that the settings mean.

    A director that scores the posterior gives a second score of the distribution that the writer's loss scores. Of two
    proper scores the sum is proper, and asks for one and the same distribution; a product, which WDAL is, is not.
    """
    if config.loss is not None:
        return config.loss
    return "sum" if director_kind(config, task, space) in _OVER_ALL_ANSWERS else "wdal_released"


def check_director(config: RunConfig, task: Task, space: Space) -> None:
    """Refuses a director that does not read the task, and what needs a list of all answers where there is none.

    Raises:
        ConfigError: The message lists what does.
    """
    fitting = _CLASS_DIRECTORS if task == "classification" else _NUMBER_DIRECTORS
    kind = director_kind(config, task, space)
    if kind not in fitting:
        raise ConfigError(f"The director {kind!r} does not read a {task}.", f"Expected one of {sorted(fitting)}.")
    if not isinstance(space, FreeNumber):
        return
    for name, value, needs in (
        *(("director.kind", kind, director) for director in _OVER_ALL_ANSWERS),
        ("writer.normalise", config.writer.normalise, "space"),
        ("prompt.long", config.prompt.long, "windows"),
    ):
        if value == needs:
            raise ConfigError(
                f"{name}={needs} needs a list of all answers, and free numbers have none.",
                remedy=f"Choose another {name}, or space.kind=grid where the numbers lie close together.",
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
    if config.method == "predgen" and kind in _OVER_ALL_ANSWERS:
        asked["director.kind"] = kind
    for name, value in asked.items():
        raise ConfigError(
            f"{name}={value} needs the probability of every answer, and "
            f"{table.answers:,} answers of {table.inner.shape[0]:,} inner nodes are searched for.",
            remedy=f"Choose another {name}, or raise search.exact_nodes.",
        )


def _predictor(writer: Writer, table: Table, setting: Setting) -> Method[Any]:
    outputs = table.answers if setting.task == "classification" else 1
    pooling = setting.config.predictor.pooling
    return Predictor(writer, setting.task, outputs, pooling, setting.scale)


def _generator(writer: Writer, table: Table, setting: Setting) -> Method[Any]:
    if isinstance(table, OptionTable):
        per_token = setting.config.space.style == "continuations"
        return OptionGenerator(writer, table, _writer_loss(setting.config, table), per_token)
    return Generator(writer, table, _writer_loss(setting.config, table))


def _predgen(writer: Writer, table: Table, setting: Setting) -> Method[Any]:
    config = setting.config
    sampling = config.sampling
    steps = sampling.steps * setting.total_steps if sampling.steps <= 1 else sampling.steps
    schedule = build_schedule(sampling.schedule, sampling.start, sampling.end, max(1, round(steps)))
    # Without a loss of its own a director would keep parameters that never learn, which stops distributed training.
    loss = loss_name(config, setting.task, setting.space)
    director = None if loss == "writer_only" else _director(writer, table, setting)
    method = PredGen(
        writer=writer,
        table=table,
        director=director,
        writer_loss=_writer_loss(config, table),
        joint=joint_loss(loss),
        sampling=Sampling(schedule, sampling.mode, sampling.own, config.train.seed),
        director_history=config.director.history,
        loss_of=config.loss_of,
    )
    return TreePredGen.of(method) if TreePredGen.suits(method) else method


def _writer_loss(config: RunConfig, table: Table) -> WriterLoss:
    return WriterLoss(normalisation(config, table), reads_prompt=config.writer.loss_over == "all")


def normalisation(config: RunConfig, table: Table) -> Normalise:
    """Among which tokens the writer's probabilities sum to 1.

    Where no setting says so, among those that the answers allow, if these are listed: what is learned is then the very
    posterior that is reported, and no step is spent on teaching the writer to leave the rest of the vocabulary alone.
    """
    if config.writer.normalise is not None:
        return config.writer.normalise
    whole = config.sampling.own == "free" or config.writer.loss_over == "all"
    return "space" if isinstance(table, AnswerTable) and not whole else "vocabulary"


def _answer_tokens(methods: Sequence[Method[Any]]) -> Tensor | None:
    """(C,) the tokens that the methods' answers are written with; None where they are not listed, or not written."""
    found = list[Tensor]()
    for method in methods:
        if not isinstance(method, WritingMethod) or not isinstance(method.table, AnswerTable):
            return None
        found.append(method.table.tokens)
    tokens: Tensor = torch.unique(torch.cat(found))
    return tokens


def _over_vocabulary(method: Method[Any]) -> bool:
    """Whether a method that writes learns or scores by the logits of other tokens than its answers'."""
    assert isinstance(method, WritingMethod)
    over_all = method.writer_loss.normalise == "vocabulary" or method.writer_loss.reads_prompt
    return over_all or isinstance(getattr(method, "director", None), _OVER_VOCABULARY)


def _director(writer: Writer, table: Table, setting: Setting) -> nn.Module:
    fitting = _CLASS_DIRECTORS if setting.task == "classification" else _NUMBER_DIRECTORS
    return fitting[director_kind(setting.config, setting.task, setting.space)](writer, table, setting)


def _class_director(writer: Writer, table: Table, setting: Setting) -> nn.Module:
    pool = build_pool(setting.config.director.pooling, writer.hidden_size)
    return ClassDirector(pool, writer.hidden_size, table.answers)


def _vocabulary_director(writer: Writer, table: Table, setting: Setting) -> nn.Module:
    return VocabularyDirector(writer.vocabulary_size, table.answers)


def _value_director(writer: Writer, table: Table, setting: Setting) -> nn.Module:
    settings = setting.config.director
    pool = build_pool(settings.pooling, writer.hidden_size)
    return ValueDirector(pool, writer.hidden_size, setting.scale, settings.error)


def _expected_value(writer: Writer, table: Table, setting: Setting) -> nn.Module:
    assert isinstance(setting.space, Grid)  # what check_director says of the task, to the type checker
    return ExpectedValue(setting.space.values, setting.scale, setting.config.director.error)


def _ranked_probability(writer: Writer, table: Table, setting: Setting) -> nn.Module:
    assert isinstance(setting.space, Grid)
    return RankedProbability(setting.space.values, setting.scale)


def _number_token_loss(writer: Writer, table: Table, setting: Setting) -> nn.Module:
    if not table.numerals:
        raise ConfigError(
            "director.kind=ntloss needs tokens that spell numerals, and this tokenizer writes the answers without any.",
            remedy="Choose another director, or a model whose tokenizer keeps signs and points apart from digits.",
        )
    return NumberTokenLoss(table.numerals)


_OVER_VOCABULARY = (VocabularyDirector, ReleasedOrderedPenalty)  # directors that read every token's logit
_OVER_ALL_ANSWERS: tuple[DirectorKind, ...] = ("expected", "crps")  # directors that read every answer's probability

_Builder = Callable[[Writer, Table, Setting], nn.Module]

_CLASS_DIRECTORS: dict[DirectorKind, _Builder] = {"class": _class_director, "vocabulary": _vocabulary_director}
_NUMBER_DIRECTORS: dict[DirectorKind, _Builder] = {
    "value": _value_director,
    "ordered": lambda writer, table, setting: OrderedPenalty(),
    "ordered_released": lambda writer, table, setting: ReleasedOrderedPenalty(),
    "expected": _expected_value,
    "crps": _ranked_probability,
    "ntloss": _number_token_loss,
}
_BUILDERS: dict[str, Callable[[Writer, Table, Setting], Method[Any]]] = {
    "predictor": _predictor,
    "generator": _generator,
    "predgen": _predgen,
}
EXPECTED_OVER = 2048  # answers up to which their expected value is worth scoring all of them in every training step
METHOD_NAMES = tuple(_BUILDERS)
