"""LoRA with another product of factors, on peft's own LoRA layers."""

from __future__ import annotations

from typing import Any, ClassVar

from peft.tuners.lora import LoraModel
from peft.tuners.lora.layer import Linear, LoraVariant
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from predgen.peft_methods.adapter import is_plain


class ProductVariant(LoraVariant):
    """What a variant whose weight is W + ΔW shares: merging. `delta` gives ΔW as a linear layer has it."""

    @staticmethod
    def delta(module: Any, adapter: str) -> Tensor:
        """ΔW (out, in) of an adapter."""
        raise NotImplementedError

    @classmethod
    def _as_stored(cls, module: Any, adapter: str, weight: Tensor) -> Tensor:
        delta = cls.delta(module, adapter)
        return (delta.T if module.fan_in_fan_out else delta).to(weight.dtype)

    @classmethod
    def merge_safe(cls, module: Any, active_adapter: str, orig_weight: Tensor) -> Tensor:
        """W + ΔW, a new tensor."""
        return orig_weight + cls._as_stored(module, active_adapter, orig_weight)

    @classmethod
    def merge_unsafe(cls, module: Any, active_adapter: str, orig_weight: Tensor) -> None:
        """W + ΔW in place."""
        orig_weight.data += cls._as_stored(module, active_adapter, orig_weight)

    @classmethod
    def unmerge(cls, module: Any, active_adapter: str, orig_weight: Tensor) -> Tensor:
        """W again."""
        return orig_weight.data - cls._as_stored(module, active_adapter, orig_weight)


class VariantModel(LoraModel):
    """LoRA's tuner with one layer class, and no falling back to plain LoRA where that does not fit."""

    layer: ClassVar[type[Linear]]

    @classmethod
    def _create_new_module(cls, lora_config: Any, adapter_name: str, target: nn.Module, **kwargs: Any) -> nn.Module:
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        if not is_plain(base):
            raise TypeError(f"{kwargs['target_name']} is a {type(base).__name__}; expected a Linear or Conv1D.")
        transposed = isinstance(base, Conv1D)
        lora_config.fan_in_fan_out = transposed
        module: nn.Module = cls.layer(
            target, adapter_name, config=lora_config, is_target_conv_1d_layer=transposed, **kwargs
        )
        return module
