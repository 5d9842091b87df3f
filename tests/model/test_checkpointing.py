from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from predgen.config_reading import load_config
from predgen.model.build import build_writer
from predgen.model.checkpointing import checkpoint_layers, keeps_cache
from predgen.model.predgen import PredGen
from predgen.model.rereading import RereadingWriter
from predgen.model.shared_head import FEWEST_TOKENS
from predgen.model.tree_predgen import TreePredGen
from predgen.model.writer import Writer

from .tiny_predgen import batch, build, gradients

pytestmark = [
    pytest.mark.filterwarnings("error:.*deprecated.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*"),
]
CHECKPOINTED = ["data.target=y", "train.gradient_checkpointing=true"]
DROPS_THE_CACHE = ("gpt2",)  # its model takes it from all layers at once


def step(method: PredGen, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    method.zero_grad()
    loss = method.train()(**inputs, step=3).loss
    loss.backward()
    return loss.detach(), gradients(method)


@pytest.mark.parametrize("kind", ["numbers", "labels", "prompt_too", "expected"])
@pytest.mark.parametrize("head", [False, True])
def test_layers_that_are_computed_again_find_what_they_found_before(
    precise_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast, kind: str, head: bool
) -> None:
    method: PredGen = build(precise_model, byte_level, kind, 0.5)
    if kind == "expected":
        method = TreePredGen.of(method)
    inputs = batch(byte_level, dtype=precise_model.dtype)
    keeps = precise_model.config.model_type not in DROPS_THE_CACHE
    if head and keeps:
        inputs["head_ids"] = torch.arange(FEWEST_TOKENS).expand(len(inputs["prompt_ids"]), -1)
    plain = step(method, inputs)
    writer = build_writer(method.writer.lm, load_config(assignments=CHECKPOINTED), "tree")
    assert type(writer) is (Writer if keeps else RereadingWriter)
    assert writer.learns_behind_heads == keeps
    writer.keeps_states = method.writer.keeps_states
    method.writer = writer
    again = step(method, inputs)
    exact = precise_model.dtype == torch.float64
    torch.testing.assert_close(again, plain, rtol=1e-7 if exact else 1e-3, atol=1e-9 if exact else 1e-5)


def test_a_prompt_is_read_once(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    """And once more in the backward pass; the history behind it needs no reading of its own."""
    method, inputs = build(llama, byte_level, "numbers", 1.0), batch(byte_level, dtype=llama.dtype)
    checkpoint_layers(method.writer.lm)
    read: list[int] = []
    width = inputs["prompt_ids"].shape[1]
    layer = method.writer.lm.get_decoder().layers[0].mlp  # inside of what is computed again
    hook = layer.register_forward_pre_hook(lambda _, states: read.append(states[0].shape[1]))
    step(method, inputs)
    hook.remove()
    assert sum(columns >= width for columns in read) == 2


def test_nothing_is_said_of_caches(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    method = build(llama, byte_level, "numbers", 1.0)
    checkpoint_layers(method.writer.lm)
    logger = logging.get_logger("transformers")
    logger.addHandler(caplog.handler)
    step(method, batch(byte_level, dtype=llama.dtype))
    logger.removeHandler(caplog.handler)
    assert not [record for record in caplog.records if "cach" in record.message.lower()]


def test_models_that_drop_the_cache_are_known(tiny_model: PreTrainedModel) -> None:
    training = tiny_model.training
    assert keeps_cache(tiny_model)
    checkpoint_layers(tiny_model)
    chance = torch.get_rng_state()
    assert keeps_cache(tiny_model) == (tiny_model.config.model_type not in DROPS_THE_CACHE)
    assert torch.equal(torch.get_rng_state(), chance)
    assert tiny_model.training == training
