from __future__ import annotations

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.spaces import NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config_reading import load_config
from predgen.errors import ConfigError
from predgen.model.baselines import Generator, Predictor
from predgen.model.build import METHOD_NAMES, build_method, build_writer
from predgen.model.predgen import PredGen
from predgen.model.scale import Scale
from predgen.model.setting import Setting

GRID = NumberGrid(-4, 4, 1)


def _built(lm: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *settings: str) -> object:
    config = load_config(assignments=["data.target=y", *settings])
    table = AnswerTable(build_trie(GRID, tokenizer, "\nAnswer:"))
    setting = Setting(config, "regression", GRID, 9, Scale(0.1, 1.7))
    return build_method(build_writer(lm, config, "tree"), table, setting)


def test_every_name_builds_its_method(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    built = {name: _built(llama, byte_level, f"method={name}") for name in METHOD_NAMES}
    kinds = {"predictor": Predictor, "generator": Generator, "predgen": PredGen}
    assert built.keys() == kinds.keys()
    assert all(isinstance(built[name], kind) for name, kind in kinds.items())


def test_an_unknown_method_is_refused_with_the_known(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(ConfigError, match=r"Unknown method 'generater'.*generator"):
        _built(llama, byte_level, "method=generater")


def test_a_director_of_classes_does_not_read_numbers(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(ConfigError, match=r"'class' does not read a regression.*'crps'.*'value'"):
        _built(llama, byte_level, "director.kind=class")
