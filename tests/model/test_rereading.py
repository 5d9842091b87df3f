from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.model.rereading import PathwiseWriter, RereadingWriter
from predgen.model.writer_loss import WriterLoss

from .tiny_predgen import batch, build, gradients

REREADERS = {"checkpointed": RereadingWriter, "path by path": PathwiseWriter}


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*")
@pytest.mark.parametrize("kind", ["numbers", "prompt_too", "expected", "ordered_released"])
@pytest.mark.parametrize("rereader", REREADERS)
def test_reading_anew_changes_neither_loss_nor_gradients(
    precise_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast, kind: str, rereader: str
) -> None:
    """Under gradient checkpointing, and for models that cannot branch, against the shared prompt."""
    method = build(precise_model, byte_level, kind, 0.5, writer_loss=WriterLoss(reads_prompt=kind == "numbers"))
    inputs = batch(byte_level, dtype=precise_model.dtype)
    exact = precise_model.dtype == torch.float64
    shared = method.train()(**inputs, step=3)
    shared.loss.backward()
    expected = gradients(method)
    method.zero_grad()

    lm = method.writer.lm
    if rereader == "checkpointed":
        lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    method.writer = REREADERS[rereader](lm)
    method.writer.keeps_states = kind == "prompt_too"
    anew = method.train()(**inputs, step=3)
    anew.loss.backward()
    assert anew.loss.item() == pytest.approx(shared.loss.item(), rel=1e-6 if exact else 1e-5)
    assert torch.equal(anew.own_history, shared.own_history)
    assert expected.keys() == gradients(method).keys()
    for name, gradient in gradients(method).items():
        assert (expected[name] - gradient).norm() <= (1e-5 if exact else 1e-3) * gradient.norm() + 1e-6, name
    one, other = (method.eval().score(inputs["prompt_ids"], inputs["prompt_mask"]) for _ in range(2))
    assert torch.equal(one.log_posterior, other.log_posterior)
    assert one.value is None or torch.equal(one.value, other.value)
    assert method.writer.lm.training is False
