from __future__ import annotations

from pathlib import Path

import pytest
import torch

from predgen.config import PeftConfig, QloraConfig
from predgen.errors import ConfigError
from predgen.model.bases import load_base
from predgen.peft_methods import METHODS

# Users need a GPU for it. bitsandbytes runs on CPUs too, slowly, so that the formula can be tried where it is at hand.
bitsandbytes = pytest.importorskip("bitsandbytes")


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_output_and_gradients_are_those_of_lora_around_the_four_bit_weight(kind: str, tiny_folder: Path) -> None:
    base = load_base(str(tiny_folder), four_bit=QloraConfig(kind=kind))
    layer = (
        METHODS["qlora"]
        .build(base.model, PeftConfig(rank=2, alpha=16.0), 1)
        .get_submodule("base_model.model.model.layers.0.mlp.up_proj")
    )
    held = layer.base_layer.weight
    assert type(layer.base_layer).__name__ == "Linear4bit"
    weight = bitsandbytes.functional.dequantize_4bit(held.data, held.quant_state).float()
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    with torch.no_grad():
        b.normal_()
    x, outer = torch.randn(3, 5, 32, requires_grad=True), torch.randn(3, 5, 64)
    found = torch.autograd.grad((layer(x) * outer).sum(), [x, a, b])
    expected = torch.autograd.grad((x @ (weight + 8 * b @ a).T * outer).sum(), [x, a, b])
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-3, rtol=1e-4)
    assert {p.dtype for p in (a, b)} == {torch.float32}


def test_what_reads_the_weight_refuses_one_in_four_bits(tiny_folder: Path) -> None:
    base = load_base(str(tiny_folder), four_bit=QloraConfig())
    with pytest.raises(ConfigError, match=r"moslora cannot wrap .*q_proj: it is a Linear4bit"):
        METHODS["moslora"].build(base.model, PeftConfig(rank=2), 1)
