from __future__ import annotations

import copy
from collections.abc import Iterable

import pytest
import torch
from transformers import PreTrainedModel

from predgen.config import AdaLoraConfig, PeftConfig
from predgen.errors import ConfigError
from predgen.peft_methods import METHODS, peft_method

from .conftest import IDS, stirred


def test_adaloras_penalty_is_pefts_own(llama: PreTrainedModel) -> None:
    adapted = stirred(METHODS["adalora"], llama)
    with_penalty = adapted(input_ids=IDS, labels=IDS).loss
    plain = adapted.base_model.model(input_ids=IDS, labels=IDS).loss
    assert METHODS["adalora"].penalty(adapted).item() == pytest.approx((with_penalty - plain).item(), rel=1e-4)
    assert METHODS["lora"].penalty(adapted) is None


def train_adalora(adapted: torch.nn.Module, steps: Iterable[int]) -> None:
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.05)
    for step in steps:
        adapted.train()(input_ids=IDS + step, labels=IDS + step).loss.backward()
        optimizer.step()
        METHODS["adalora"].after_step(adapted, step + 1)
        optimizer.zero_grad()


def left(adapted: torch.nn.Module) -> int:
    return sum(int((p != 0).sum()) for name, p in adapted.named_parameters() if "lora_E" in name)


def test_adalora_thins_its_ranks_out_to_the_budget(llama: PreTrainedModel) -> None:
    adapted = stirred(METHODS["adalora"], llama)
    modules = sum("lora_E" in name for name, _ in adapted.named_parameters())
    assert left(adapted) == 3 * modules
    train_adalora(adapted, range(20))
    assert left(adapted) == 2 * modules


def test_adalora_passes_over_steps_that_a_loss_scaler_has_left_out(llama: PreTrainedModel) -> None:
    adapted = stirred(METHODS["adalora"], llama)
    for parameter in adapted.parameters():
        parameter.grad = torch.full_like(parameter, torch.inf) if parameter.requires_grad else None
    METHODS["adalora"].after_step(adapted, 1)
    adapted.zero_grad()
    train_adalora(adapted, range(1, 20))
    assert left(adapted) == 2 * sum("lora_E" in name for name, _ in adapted.named_parameters())


def test_adalora_makes_up_for_a_last_allocation_that_was_left_out(llama: PreTrainedModel) -> None:
    adapted = stirred(METHODS["adalora"], llama, PeftConfig(adalora=AdaLoraConfig(every=50), rank=2))
    train_adalora(adapted, [step for step in range(20) if step != 13])  # the 14th of 20, of which 6 are cool-down
    assert left(adapted) == 2 * sum("lora_E" in name for name, _ in adapted.named_parameters())


def test_adaloras_allocator_goes_on_where_it_was(llama: PreTrainedModel) -> None:
    other = copy.deepcopy(llama)
    adapted = stirred(METHODS["adalora"], llama)
    train_adalora(adapted, range(8))
    again = METHODS["adalora"].build(other, PeftConfig(rank=2), 20)
    again.load_state_dict(adapted.state_dict())
    METHODS["adalora"].restore(again, METHODS["adalora"].state(adapted))
    for model in (adapted, again):
        train_adalora(model, range(8, 20))
    for (name, one), two in zip(adapted.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two), name


def test_adalora_refuses_what_leaves_nothing_to_allocate(llama: PreTrainedModel) -> None:
    for config, steps, words in (
        (PeftConfig(adalora=AdaLoraConfig(warmup=0.5, cooldown=0.5)), 10, "no step to allocate"),
        (PeftConfig(adalora=AdaLoraConfig(init_rank=8)), 10, "nothing to thin out"),
    ):
        with pytest.raises(ConfigError, match=words):
            METHODS["adalora"].build(llama, config, steps)


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'lorra'.*did you mean 'lora'.*adalora, dora, full, ia3, lora, lora-fa"):
        peft_method("lorra")
