"""MELoRA: n mini-LoRAs side by side, each on its own part of input and output (Ren et al. 2024).

y = W x + (α / r_mini) · diag(B₁A₁, …, B_nA_n) x, of rank n · r_mini for the parameters of one LoRA of rank r_mini.
Here `peft.rank` is the whole rank, so that methods are compared at equal rank, and r_mini = rank / n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from peft import LoraConfig
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn

from predgen.config import PeftConfig
from predgen.errors import ConfigError
from predgen.peft_methods.adapter import (
    check_rank,
    features,
    load_adapter,
    put_in,
    save_adapter,
    target_modules,
    targets_of,
)
from predgen.peft_methods.method import PeftMethod
from predgen.peft_methods.registration import PredgenPeftType, register
from predgen.peft_methods.variants import ProductVariant, VariantModel

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


@dataclass
class MeloraConfig(LoraConfig):
    """LoRA's settings, of which r is the whole rank, and how many mini-LoRAs share it."""

    minis: int = field(default=2, metadata={"help": "number of mini-LoRAs; must divide r and the layers' sizes"})

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        self.peft_type = PredgenPeftType.MELORA
        if self.minis < 1 or self.r % self.minis:
            raise ValueError(f"r={self.r} cannot be divided among {self.minis} mini-LoRAs")


class Blocks(nn.Module):
    """n blocks on a diagonal, kept one above the other: (n · rows, columns)."""

    def __init__(self, blocks: int, rows: int, columns: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.weight = nn.Parameter(torch.zeros(blocks * rows, columns))

    def dense(self) -> Tensor:
        """The whole matrix, zeros between the blocks; small, since one of its sides is the rank."""
        whole: Tensor = torch.block_diag(*self.weight.chunk(self.blocks))  # type: ignore[no-untyped-call]
        return whole


class MeloraVariant(ProductVariant):
    """Block-diagonal A and B."""

    @staticmethod
    def init(  # type: ignore[override]  # peft hands its variants more than it declares
        module: Any, adapter_name: str, config: MeloraConfig, **kwargs: Any
    ) -> None:
        """Puts blocks in the place of A and B.

        Raises:
            ValueError: If input or output cannot be divided; the message names the layer.
        """
        n, inputs, outputs = config.minis, module.in_features, module.out_features
        if inputs % n or outputs % n:
            raise ValueError(f"{kwargs.get('target_name')} ({inputs} → {outputs}) cannot be divided into {n} parts")
        mini = module.r[adapter_name] // n
        module.lora_A[adapter_name] = Blocks(n, mini, inputs // n)
        module.lora_B[adapter_name] = Blocks(n, outputs // n, mini)
        for block in module.lora_A[adapter_name].weight.data.chunk(n):
            nn.init.kaiming_uniform_(block, a=math.sqrt(5))
        module.scaling[adapter_name] = module.lora_alpha[adapter_name] / mini
        module._move_adapter_to_device_of_base_layer(adapter_name)

    @staticmethod
    def forward(module: Any, active_adapter: str, x: Tensor, result: Tensor, **kwargs: Any) -> Tensor:
        """As LoRA, through the whole matrices: on small blocks one product is faster than n."""
        inner = F.linear(module.lora_dropout[active_adapter](x), module.lora_A[active_adapter].dense())
        return result + F.linear(inner * module.scaling[active_adapter], module.lora_B[active_adapter].dense())

    @staticmethod
    def delta(module: Any, adapter: str) -> Tensor:
        """(α / r_mini) · diag(B₁A₁, …, B_nA_n)."""
        product: Tensor = module.scaling[adapter] * (module.lora_B[adapter].dense() @ module.lora_A[adapter].dense())
        return product


class MeloraLinear(Linear):
    """A linear layer with mini-LoRAs beside it."""

    @property
    def lora_variants(self) -> dict[tuple[str, ...], type]:
        """The one variant; DoRA and others are refused."""
        return {(): MeloraVariant}


class MeloraModel(VariantModel):
    """Puts `MeloraLinear` into a base."""

    layer = MeloraLinear


register(PredgenPeftType.MELORA, MeloraConfig, MeloraModel, "lora_")


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PeftModel:
    """Adds n pairs of A (random) and B (zero) of rank r / n beside every target module.

    Args:
        model: The base; changed in place.
        config: rank, alpha, dropout, target_modules and melora are read.
        total_steps: Not needed.

    Raises:
        ConfigError: As for LoRA, or if n does not divide the rank or a module's size, as the key and value projections
            of grouped-query attention may have it.
    """
    targets, n = targets_of(model, config, "melora"), config.melora.minis
    check_rank(targets, config.rank)
    if config.rank % n:
        raise ConfigError(f"peft.melora.minis={n} does not divide peft.rank={config.rank}.", "It must.")
    for name, module in targets.items():
        inputs, outputs = features(module)
        if inputs % n or outputs % n:
            raise ConfigError(
                f"peft.melora.minis={n} does not divide {name}, which is {inputs} → {outputs}.",
                remedy="Choose a divisor of all targets, or leave this one out of peft.target_modules.",
            )
    melora = MeloraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # it is divided by r_mini, whole or not
        lora_dropout=config.dropout,
        target_modules=target_modules(config),
        minis=n,
    )
    return put_in(model, melora)


MELORA = PeftMethod(
    "melora",
    "W + (α/r_mini)·diag(B₁·A₁, …, B_n·A_n)",
    "Ren et al. 2024",
    "ours: MeloraConfig",
    build=build,
    save=save_adapter,
    load=load_adapter,
)
