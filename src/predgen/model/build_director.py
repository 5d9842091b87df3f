"""Settings → director: what reads the states, the logits or the posterior of what was written."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from predgen.answers.build import Table
from predgen.answers.spaces import Grid
from predgen.config import DirectorKind, Task
from predgen.errors import ConfigError
from predgen.model.defaults import director_kind
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
from predgen.model.pooling import build_pool
from predgen.model.setting import Setting
from predgen.model.writer import Writer

Builder = Callable[[Writer, Table, Setting], nn.Module]


def build_director(writer: Writer, table: Table, setting: Setting) -> nn.Module:
    """Builds the director that the settings name, or mean.

    Raises:
        ConfigError: If the tokenizer does not spell the answers as the director needs.
    """
    kind = director_kind(setting.config, setting.task, setting.space)
    return directors_of(setting.task)[kind](writer, table, setting)


def directors_of(task: Task) -> dict[DirectorKind, Builder]:
    """The directors that read a task, by name."""
    return _CLASS_DIRECTORS if task == "classification" else _NUMBER_DIRECTORS


def reads_vocabulary(director: object) -> bool:
    """Whether a director reads every token's logit."""
    return isinstance(director, VocabularyDirector | ReleasedOrderedPenalty)


def _class_director(writer: Writer, table: Table, setting: Setting) -> nn.Module:
    settings = setting.config.director
    pool = build_pool(settings.pooling, writer.hidden_size)
    return ClassDirector(pool, writer.hidden_size, table.answers, settings.reads == "prompt_and_answer")


def _vocabulary_director(writer: Writer, table: Table, setting: Setting) -> nn.Module:
    return VocabularyDirector(writer.vocabulary_size, table.answers)


def _value_director(writer: Writer, table: Table, setting: Setting) -> nn.Module:
    settings = setting.config.director
    pool = build_pool(settings.pooling, writer.hidden_size)
    reads_prompt = settings.reads == "prompt_and_answer"
    return ValueDirector(pool, writer.hidden_size, setting.scale, settings.error, reads_prompt)


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


_CLASS_DIRECTORS: dict[DirectorKind, Builder] = {"class": _class_director, "vocabulary": _vocabulary_director}
_NUMBER_DIRECTORS: dict[DirectorKind, Builder] = {
    "value": _value_director,
    "ordered": lambda writer, table, setting: OrderedPenalty(),
    "ordered_released": lambda writer, table, setting: ReleasedOrderedPenalty(),
    "expected": _expected_value,
    "crps": _ranked_probability,
    "ntloss": _number_token_loss,
}
