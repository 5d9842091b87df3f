from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from predgen.config import AdaLoraConfig, PeftConfig
from predgen.errors import ConfigError
from predgen.peft_methods import METHODS, PeftMethod, peft_method

IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture(params=sorted(METHODS))
def method(request: pytest.FixtureRequest) -> PeftMethod:
    return METHODS[request.param]


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def stirred(method: PeftMethod, model: PreTrainedModel) -> torch.nn.Module:
    """Adapted, with everything that learns moved a little."""
    torch.manual_seed(0)
    adapted = method.build(model, PeftConfig(rank=2), 20)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return adapted


def test_it_starts_as_the_base(method: PeftMethod, llama: PreTrainedModel) -> None:
    before = logits(copy.deepcopy(llama))
    assert torch.allclose(logits(method.build(llama, PeftConfig(rank=2), 20)), before, atol=1e-5)


def test_only_what_should_learn_moves(method: PeftMethod, llama: PreTrainedModel) -> None:
    before = {name: parameter.clone() for name, parameter in llama.named_parameters()}
    adapted = method.build(llama, PeftConfig(rank=2), 20)
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):  # B starts at zero, and holds A's gradient there for one step
        adapted.train()(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
    named = dict(adapted.named_parameters())
    for name, parameter in named.items():
        assert parameter.requires_grad == (method.whole or "lora_" in name)
    base = {name.replace("base_model.model.", "").replace("base_layer.", ""): p for name, p in named.items()}
    assert all(torch.equal(base[name], old) != method.whole for name, old in before.items() if "embed" not in name)


def test_saved_and_loaded_it_is_the_same(method: PeftMethod, llama: PreTrainedModel, tmp_path: Path) -> None:
    base = copy.deepcopy(llama)
    adapted = stirred(method, llama)
    method.save(adapted, tmp_path, "tiny")
    if method.whole:
        base = type(base).from_pretrained(tmp_path)
    assert torch.allclose(logits(method.load(base, tmp_path)), logits(adapted), atol=1e-6)


@pytest.mark.parametrize("name", ["lora", "dora", "adalora"])
def test_plain_peft_reads_it(name: str, llama: PreTrainedModel, tmp_path: Path) -> None:
    base = copy.deepcopy(llama)
    adapted = stirred(METHODS[name], llama)
    METHODS[name].save(adapted, tmp_path, "tiny")
    assert torch.allclose(logits(PeftModel.from_pretrained(base, tmp_path)), logits(adapted), atol=1e-6)


def test_dora_by_a_dense_restatement(llama: PreTrainedModel) -> None:
    adapted = stirred(METHODS["dora"], llama)
    layer = adapted.base_model.model.model.layers[0].mlp.up_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    moved = layer.base_layer.weight + layer.scaling["default"] * b @ a
    magnitude = layer.lora_magnitude_vector["default"].weight
    dense = magnitude[:, None] * moved / moved.norm(dim=1, keepdim=True)
    x = torch.randn(3, moved.shape[1], generator=torch.Generator().manual_seed(0))
    assert torch.allclose(layer(x), x @ dense.T, atol=1e-5)


def test_adaloras_penalty_is_pefts_own(llama: PreTrainedModel) -> None:
    adapted = stirred(METHODS["adalora"], llama)
    with_penalty = adapted(input_ids=IDS, labels=IDS).loss
    plain = adapted.base_model.model(input_ids=IDS, labels=IDS).loss
    assert METHODS["adalora"].penalty(adapted).item() == pytest.approx((with_penalty - plain).item(), rel=1e-4)
    assert METHODS["lora"].penalty(adapted) is None


def train_adalora(adapted: torch.nn.Module, steps: range) -> None:
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


def test_unknown_methods_and_modules_are_refused(llama: PreTrainedModel) -> None:
    with pytest.raises(ConfigError, match=r"'lorra'.*did you mean 'lora'.*adalora, dora, full, lora"):
        peft_method("lorra")
    with pytest.raises(ConfigError, match="do not fit this model"):
        METHODS["lora"].build(llama, PeftConfig(target_modules="nothing_such"), 1)
