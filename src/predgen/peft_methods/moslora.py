"""MoSLoRA: y = W x + (α / r) · B M A x, a learned mixer M (r × r) between the factors (Wu et al. 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peft import LoraConfig
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

from predgen.config import PeftConfig
from predgen.peft_methods.adapter import check_rank, load_adapter, put_in, save_adapter, target_modules, targets_of
from predgen.peft_methods.method import PeftMethod
from predgen.peft_methods.registration import PredgenPeftType, register
from predgen.peft_methods.variants import ProductVariant, VariantModel

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

_STARTS = {
    "kaiming": lambda weight: nn.init.kaiming_uniform_(weight, a=math.sqrt(5)),  # the authors' own
    "orthogonal": nn.init.orthogonal_,
    "identity": nn.init.eye_,
}


@dataclass
class MosloraConfig(LoraConfig):
    """LoRA's settings, and what the mixer starts as."""

    mixer: str = field(default="kaiming", metadata={"help": "kaiming, orthogonal or identity"})

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        self.peft_type = PredgenPeftType.MOSLORA
        if self.mixer not in _STARTS:
            raise ValueError(f"mixer={self.mixer!r}; expected one of {sorted(_STARTS)}")


class MosloraVariant(ProductVariant):
    """B M A in the place of B A."""

    @staticmethod
    def init(  # type: ignore[override]  # peft hands its variants more than it declares
        module: Any, adapter_name: str, config: MosloraConfig, **kwargs: Any
    ) -> None:
        """Adds M to a layer that has A and B."""
        if not hasattr(module, "lora_mixer"):
            module.lora_mixer = nn.ModuleDict()
            module.adapter_layer_names = (*module.adapter_layer_names, "lora_mixer")
        rank = module.r[adapter_name]
        mixer = nn.Linear(rank, rank, bias=False)
        _STARTS[config.mixer](mixer.weight)
        module.lora_mixer[adapter_name] = mixer
        module._move_adapter_to_device_of_base_layer(adapter_name)

    @staticmethod
    def forward(module: Any, active_adapter: str, x: Tensor, result: Tensor, **kwargs: Any) -> Tensor:
        """The scale is applied where the tensor is r wide, and not where it is as wide as the layer."""
        inner = module.lora_A[active_adapter](module.lora_dropout[active_adapter](x))
        mixed = module.lora_mixer[active_adapter](inner) * module.scaling[active_adapter]
        changed: Tensor = result + module.lora_B[active_adapter](mixed)
        return changed

    @staticmethod
    def delta(module: Any, adapter: str) -> Tensor:
        """(α / r) · B M A."""
        a, m, b = (getattr(module, name)[adapter].weight for name in ("lora_A", "lora_mixer", "lora_B"))
        product: Tensor = module.scaling[adapter] * (b @ m @ a)
        return product


class MosloraLinear(Linear):
    """A linear layer with A, M and B beside it."""

    @property
    def lora_variants(self) -> dict[tuple[str, ...], type]:
        """The one variant; DoRA and others are refused."""
        return {(): MosloraVariant}


class MosloraModel(VariantModel):
    """Puts `MosloraLinear` into a base."""

    layer = MosloraLinear


register(PredgenPeftType.MOSLORA, MosloraConfig, MosloraModel, "lora_")


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PeftModel:
    """Adds A and M (random) and B (zero) of rank r beside every target module.

    Args:
        model: The base; changed in place.
        config: rank, alpha, dropout, target_modules and moslora are read.
        total_steps: Not needed.

    Raises:
        ConfigError: As for LoRA.
    """
    check_rank(targets_of(model, config, "moslora"), config.rank)
    moslora = MosloraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft divides it by r, whole or not
        lora_dropout=config.dropout,
        target_modules=target_modules(config),
        mixer=config.moslora.mixer,
    )
    return put_in(model, moslora)


MOSLORA = PeftMethod(
    "moslora",
    "W + (α/r)·B·M·A",
    "Wu et al. 2024",
    "ours: MosloraConfig",
    build=build,
    save=save_adapter,
    load=load_adapter,
)
