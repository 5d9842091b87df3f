"""LoRA-FA: LoRA whose A stays as it was drawn (Zhang et al. 2023), so that no layer keeps its input for A's gradient.

`lora-fa` is that and no more, trained by AdamW. `lora-fa-corrected` is what peft's optimizer makes of it: B's gradient
is multiplied by (A Aᵀ)⁻¹ · (r / α)², so that B·A moves as near as it can to where full fine-tuning would go. The
function is LoRA's in both cases, and so is the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from predgen.config import PeftConfig, TrainConfig
from predgen.errors import ConfigError
from predgen.peft_methods.adapter import check_rank, load_adapter, put_in, save_adapter, targets_of
from predgen.peft_methods.lora import lora_config
from predgen.peft_methods.method import PeftMethod

if TYPE_CHECKING:
    from peft import PeftModel
    from torch.optim import Optimizer
    from transformers import PreTrainedModel


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PeftModel:
    """LoRA with A frozen, which switching adapters does not undo.

    Args:
        model: The base; changed in place.
        config: rank, alpha, dropout and target_modules are read.
        total_steps: Not needed.

    Raises:
        ConfigError: As for LoRA.
    """
    from peft.tuners.lora.variants import _register_frozen_peft_weight

    check_rank(targets_of(model, config, "lora-fa"), config.rank)
    adapted = put_in(model, lora_config(config))
    for _, layer, adapter in _layers(adapted):
        _register_frozen_peft_weight(layer, adapter, "lora_A")
    return adapted


def corrected_optimizer(method: Any, config: TrainConfig) -> Optimizer:
    """Peft's LoRA-FA optimizer over the writer's factors, and over whatever else learns as Adam.

    peft's own `create_lorafa_optimizer` sees the adapted model alone, in which no director is, and takes factors that
    lie next to each other for pairs; so the pairs are handed over here one by one.

    Args:
        method: Whose `writer.lm` is adapted.
        config: learning_rate and weight_decay are read.

    Raises:
        ConfigError: If the writer's adapter is not plain LoRA.
    """
    from peft.optimizers.lorafa import LoraFAOptimizer

    class Corrected(LoraFAOptimizer):
        # As other optimizers do, it passes a step over that was left without gradients; peft's own fails there.
        def step(self, closure: Any = None) -> Any:
            if all(parameter.grad is None for group in self.param_groups for parameter in group["params"]):
                return None
            return super().step(closure)

    parameters: list[Tensor] = []
    names: list[str] = []
    scales: list[float | None] = []
    for name, layer, adapter in _layers(method.writer.lm):
        a, b = layer.lora_A[adapter], layer.lora_B[adapter]
        if adapter in layer.lora_variant or not isinstance(a, nn.Linear):
            raise ConfigError(
                f"LoRA-FA's corrected optimizer does not go with {name}, whose update is not B·A alone (DoRA, MoSLoRA, "
                "MELoRA).",
                "It needs plain LoRA factors.",
                "Choose peft.method=lora-fa-corrected, or another optimizer.",
            )
        for part, factor in (("lora_A", a), ("lora_B", b)):
            parameters.append(factor.weight)
            names.append(f"{name}.{part}")
            scales.append(layer.scaling[adapter])
    if not parameters:
        raise ConfigError("LoRA-FA's corrected optimizer found no LoRA factors.", "It needs plain LoRA.")
    known = {id(parameter) for parameter in parameters}
    for name, parameter in method.named_parameters():
        if parameter.requires_grad and id(parameter) not in known:
            if "lora" in name:
                raise ConfigError(
                    f"LoRA-FA's corrected optimizer does not go with {name}: it would be taken for a factor.",
                    "It trains B of plain LoRA, and a director or head.",
                )
            parameters.append(parameter)
            names.append(name)
            scales.append(None)
    group: Any = {"params": parameters, "names": names, "scaling_factors": scales}
    optimizer: Optimizer = Corrected([group], lr=config.learning_rate, weight_decay=config.weight_decay)
    return optimizer


def state(lm: Any) -> dict[str, Tensor]:
    """Every A: it does not learn, and B is nothing without it."""
    return {name: layer.lora_A[adapter].weight.detach().cpu().contiguous() for name, layer, adapter in _layers(lm)}


def restore(lm: Any, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `state` took."""
    with torch.no_grad():
        for name, layer, adapter in _layers(lm):
            layer.lora_A[adapter].weight.copy_(tensors[name])


def _layers(lm: Any) -> Iterator[tuple[str, Any, str]]:
    """Names, LoRA layers, and the active adapter of each."""
    from peft.tuners.lora.layer import LoraLayer

    for name, layer in lm.named_modules():
        if isinstance(layer, LoraLayer):
            for adapter in layer.active_adapters:
                if adapter in layer.lora_A:
                    yield name, layer, adapter


LORA_FA = PeftMethod(
    "lora-fa",
    "W + (α/r)·B·A, A frozen",
    "Zhang et al. 2023",
    "LoraConfig",
    build=build,
    save=save_adapter,
    load=load_adapter,
    state=state,
    restore=restore,
)
LORA_FA_CORRECTED = PeftMethod(
    "lora-fa-corrected",
    "W + (α/r)·B·A, A frozen, ∂B·(A·Aᵀ)⁻¹·(r/α)²",
    "Zhang et al. 2023",
    "LoraConfig, LoraFAOptimizer",
    build=build,
    save=save_adapter,
    load=load_adapter,
    optimizer=corrected_optimizer,
    state=state,
    restore=restore,
)
