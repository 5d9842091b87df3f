from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from predgen.config import PeftConfig
from predgen.peft_methods import METHODS, PeftMethod

IDS = torch.tensor([[5, 6, 7, 8]])
# Four-bit bases need a GPU; what is left of qlora without one is its refusal, and LoRA.
ON_CPU = sorted(set(METHODS) - {"qlora"})
OURS = ("melora", "moslora", "propulsion", "rocoft")
WHOLE = "full"


@pytest.fixture(params=ON_CPU)
def method(request: pytest.FixtureRequest) -> PeftMethod:
    return METHODS[request.param]


@pytest.fixture(params=[name for name in ON_CPU if name != WHOLE])
def adapter(request: pytest.FixtureRequest) -> PeftMethod:
    """Each method that leaves the base alone."""
    return METHODS[request.param]


def logits(model: torch.nn.Module, ids: torch.Tensor = IDS) -> torch.Tensor:
    """Of prompts behind their virtual tokens, if there are any."""
    virtual = getattr(model, "virtual_ids", None)
    whole = ids if virtual is None else torch.cat([virtual.expand(ids.shape[0], -1), ids], dim=1)
    with torch.no_grad():
        return model.eval()(input_ids=whole).logits


def stir(model: torch.nn.Module, seed: int = 0, amount: float = 0.05) -> None:
    """Moves everything that learns a little."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * amount)


def stirred(method: PeftMethod, model: PreTrainedModel, config: PeftConfig | None = None) -> torch.nn.Module:
    torch.manual_seed(0)
    adapted = method.build(model, config or PeftConfig(rank=2), 20)
    stir(adapted)
    return adapted
