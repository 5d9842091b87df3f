"""Settings → method: the one place where names become modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from predgen.answers.build import Table
from predgen.answers.option_table import OptionTable
from predgen.answers.tables import AnswerTable
from predgen.config import RunConfig, Scoring
from predgen.decoding.fields import one_tree
from predgen.errors import ConfigError, nearest
from predgen.model.baselines import Generator, Predictor
from predgen.model.build_director import build_director, reads_vocabulary
from predgen.model.checkpointing import checkpoint_layers, keeps_cache
from predgen.model.checks import check_director
from predgen.model.defaults import loss_name, normalisation
from predgen.model.half import train_by_parts
from predgen.model.losses import joint_loss
from predgen.model.method import Method, WritingMethod
from predgen.model.options import OptionGenerator
from predgen.model.predgen import PredGen, Sampling
from predgen.model.record import RecordMethod
from predgen.model.rereading import PathwiseWriter, RereadingWriter
from predgen.model.schedules import build_schedule
from predgen.model.setting import Setting
from predgen.model.tree_predgen import TreePredGen
from predgen.model.writer import Writer
from predgen.model.writer_loss import WriterLoss


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
    director = None if loss == "writer_only" else build_director(writer, table, setting)
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
    return over_all or reads_vocabulary(getattr(method, "director", None))


_BUILDERS: dict[str, Callable[[Writer, Table, Setting], Method[Any]]] = {
    "predictor": _predictor,
    "generator": _generator,
    "predgen": _predgen,
}
METHOD_NAMES = tuple(_BUILDERS)
