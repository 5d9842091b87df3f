from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.data.batches import pad_prompts
from predgen.model.baselines import Predictor
from predgen.model.scale import Scale
from predgen.model.writer import Writer

from .tiny_predgen import batch


@pytest.mark.parametrize("pooling", ["last", "mean", "attention"])
def test_a_predictor_does_not_see_padding(
    tiny_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast, pooling: str
) -> None:
    torch.manual_seed(0)
    method = Predictor(Writer(tiny_model), "classification", 3, pooling).eval()
    nn.init.normal_(method.output.linear.weight)
    if pooling == "attention":
        nn.init.normal_(method.pool.query)
    inputs = batch(byte_level)
    together = method.score(inputs["prompt_ids"], inputs["prompt_mask"]).class_logits
    for row in range(4):
        alone = inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()].tolist()
        assert torch.allclose(method.score(*pad_prompts([alone])).class_logits[0], together[row], atol=1e-4)


def test_predictor_losses_by_hand(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    method = Predictor(Writer(llama), "regression", 1, "last", Scale(2.0, 4.0))
    nn.init.constant_(method.output.linear.bias, 0.5)
    inputs = batch(byte_level)
    inputs["target"] = torch.tensor([2.0, 4.0, 6.0, -2.0])  # 0, ½, 1, −1 standardised, against ½
    output = method(**inputs, step=0)
    assert output.director_loss.tolist() == pytest.approx([0.25, 0.0, 0.25, 2.25])
    assert method.score(inputs["prompt_ids"], inputs["prompt_mask"]).value.tolist() == pytest.approx([4.0] * 4)
