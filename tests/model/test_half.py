"""Training in bfloat16: which part computes in which precision, and that the gradients are the same up to rounding."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.build import build_table
from predgen.answers.spaces import NumberGrid
from predgen.config import PeftConfig, RunConfig
from predgen.data.batches import TrainingRow, collate
from predgen.model.baselines import Generator
from predgen.model.build import build_writer
from predgen.model.writer_loss import WriterLoss
from predgen.peft_methods import peft_method

PROMPTS = [[5, 6, 7, 8], [9, 10], [11, 12, 13, 14, 15, 16, 17], [18]]


def adapted(model: PreTrainedModel, dtype: torch.dtype, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    lm = peft_method("lora").build(copy.deepcopy(model).to(dtype), PeftConfig(**settings), total_steps=1)
    for name, parameter in lm.named_parameters():
        if "lora_B" in name:  # zero at the start, which would hide half of the gradient
            torch.nn.init.normal_(parameter, std=0.1)
    return lm


def step(lm: nn.Module, tokenizer: PreTrainedTokenizerFast) -> tuple[float, dict[str, Tensor]]:
    space = NumberGrid(-4, 4, 1)
    method = Generator(
        build_writer(lm, RunConfig(), "cache"), build_table(space, tokenizer, "\nAnswer:", 512), WriterLoss()
    )
    rows = [TrainingRow(ids, 20 * number, 0.0, number) for number, ids in enumerate(PROMPTS)]
    loss = method.train()(**collate(rows), step=0).loss
    loss.backward()
    return loss.item(), {name: p.grad for name, p in lm.named_parameters() if p.grad is not None}


def test_gradients_are_those_of_float32_up_to_rounding(
    tiny_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    exact, expected = step(adapted(tiny_model, torch.float32), byte_level)
    loss, found = step(adapted(tiny_model, torch.bfloat16), byte_level)
    assert loss == pytest.approx(exact, rel=0.03)
    assert found.keys() == expected.keys() and {gradient.dtype for gradient in found.values()} == {torch.float32}
    one, other = (torch.cat([of[name].flatten() for name in expected]) for of in (found, expected))
    assert torch.cosine_similarity(one, other, dim=0) > 0.98


def test_each_part_computes_in_its_precision(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = adapted(llama, torch.bfloat16)
    seen: dict[str, set[torch.dtype]] = {"attention": set(), "adapter": set(), "layer": set(), "head": set()}
    attend = nn.functional.scaled_dot_product_attention

    def watched(query: Tensor, *others: Tensor, **settings: object) -> Tensor:
        seen["attention"].add(query.dtype)
        return attend(query, *others, **settings)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", watched)
    for name, module in lm.named_modules():
        kind = "adapter" if "lora_" in name else "layer" if name.endswith("base_layer") else None
        if isinstance(module, nn.Linear) and kind:
            module.register_forward_hook(lambda _, inputs, output, kind=kind: seen[kind].add(output.dtype))
    lm.get_output_embeddings().register_forward_hook(lambda _, inputs, output: seen["head"].add(output.dtype))
    step(lm, byte_level)
    half, single = {torch.bfloat16}, {torch.float32}
    assert seen == {"attention": single, "adapter": half, "layer": half, "head": single}


def test_an_adapted_head_is_float32_too(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    lm = adapted(llama, torch.bfloat16, target_modules=("q_proj", "lm_head"))
    _, gradients = step(lm, byte_level)
    assert any("lm_head" in name for name in gradients)
    assert lm.get_output_embeddings().get_base_layer().weight.dtype == torch.float32


def test_an_error_in_a_pass_leaves_no_autocast_behind(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    lm = adapted(llama, torch.bfloat16)
    writer = build_writer(lm, RunConfig(), "cache")
    with pytest.raises(IndexError):
        writer.read(torch.tensor([[10_000]]), torch.tensor([[1]]))
    assert not torch.is_autocast_enabled("cpu")
