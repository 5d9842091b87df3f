from __future__ import annotations

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.spaces import LabelSet, NumberGrid, Space
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config import RunConfig, Task
from predgen.config_reading import load_config
from predgen.model.build import build_fields_method, build_writer
from predgen.model.defaults import director_kind, loss_name, normalisation, start_of
from predgen.model.director import StateDirector
from predgen.model.losses import summed, wdal_released
from predgen.model.pooling import AttentionPool
from predgen.model.predgen import PredGen
from predgen.model.scale import Scale
from predgen.model.setting import Setting

CUE = "\nAnswer:"
GRID, LABELS = NumberGrid(-4, 4, 1), LabelSet(("good", "bad"))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([], "space"),
        (["writer.normalise=vocabulary"], "vocabulary"),
        (["sampling.own=free"], "vocabulary"),
        (["writer.loss_over=all"], "vocabulary"),
        (["profile=released"], "vocabulary"),
        (["method=generator"], "space"),
    ],
)
def test_what_is_normalised_over_where_nothing_says_so(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, settings: list[str], expected: str
) -> None:
    config: RunConfig = load_config(assignments=["data.target=y", *settings])
    table = AnswerTable(build_trie(GRID, byte_level, CUE))
    assert normalisation(config, table) == expected
    setting = Setting(config, "regression", GRID, 9, Scale(0.1, 1.7))
    writer = build_writer(llama, config, "tree")
    build_fields_method(writer, [table], [[]], [setting])
    assert (writer.projection is not None) == (expected == "space")


@pytest.mark.parametrize(
    ("task", "space", "settings", "kind", "loss"),
    [
        ("regression", GRID, [], "expected", "sum"),
        ("regression", GRID, ["director.kind=crps"], "crps", "sum"),
        ("regression", GRID, ["director.kind=value"], "value", "wdal_released"),
        ("regression", GRID, ["loss=wdal"], "expected", "wdal"),
        ("regression", NumberGrid(0, 3000, 0), [], "value", "wdal_released"),
        ("classification", LABELS, [], "class", "wdal_released"),
        ("regression", GRID, ["director.kind=states"], "value", "wdal_released"),
        ("classification", LABELS, ["director.kind=states"], "class", "wdal_released"),
    ],
)
def test_the_joint_loss_suits_the_director(
    llama: PreTrainedModel,
    byte_level: PreTrainedTokenizerFast,
    task: Task,
    space: Space,
    settings: list[str],
    kind: str,
    loss: str,
) -> None:
    config = load_config(assignments=["data.target=y", *settings])
    assert (director_kind(config, task, space), loss_name(config, task, space)) == (kind, loss)
    table = AnswerTable(build_trie(space, byte_level, CUE))
    setting = Setting(config, task, space, 9, Scale(0.1, 1.7))
    method = build_fields_method(build_writer(llama, config, "tree"), [table], [[]], [setting])
    assert isinstance(method, PredGen)
    if loss != "wdal":
        assert method.joint is (summed if loss == "sum" else wdal_released)


@pytest.mark.parametrize(
    ("task", "space", "kind"), [("regression", GRID, "value"), ("classification", LABELS, "class")]
)
def test_a_director_that_leads_reads_all_there_is(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, task: Task, space: Space, kind: str
) -> None:
    config = load_config(assignments=["data.target=y", "profile=director_led"])
    assert (director_kind(config, task, space), loss_name(config, task, space)) == (kind, "director_only")
    assert start_of(config, task, space) == config.writer.finish == "probe"
    table = AnswerTable(build_trie(space, byte_level, CUE))
    setting = Setting(config, task, space, 9, Scale(0.1, 1.7))
    method = build_fields_method(build_writer(llama, config, "tree"), [table], [[]], [setting])
    assert isinstance(method, PredGen) and isinstance(method.director, StateDirector)
    assert isinstance(method.director.pool, AttentionPool)
    assert method.director.reads_prompt and method.writer.keeps_states
    assert method.sampling.schedule(0) == 1.0
