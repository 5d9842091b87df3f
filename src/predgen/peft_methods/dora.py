"""DoRA: y = m · (W + (α / r) · B A) / ‖W + (α / r) · B A‖ x, its norm a row (Liu et al. 2024), as peft has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from predgen.config import PeftConfig
from predgen.peft_methods.adapter import (
    check_rank,
    is_plain_or_embedding,
    load_adapter,
    put_in,
    save_adapter,
    targets_of,
)
from predgen.peft_methods.lora import lora_config
from predgen.peft_methods.method import PeftMethod

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PeftModel:
    """LoRA with a learned magnitude a row, which starts at the base's own.

    In training peft multiplies an identity as wide as each layer's input: slower than LoRA, and large for wide models.

    Args:
        model: The base; changed in place.
        config: rank, alpha, dropout and target_modules are read.
        total_steps: Not needed.

    Raises:
        ConfigError: As for LoRA.
    """
    check_rank(targets_of(model, config, "dora", is_plain_or_embedding), config.rank)
    return put_in(model, lora_config(config, use_dora=True))


DORA = PeftMethod(
    "dora",
    "m·(W + (α/r)·B·A) / ‖W + (α/r)·B·A‖",
    "Liu et al. 2024",
    "LoraConfig(use_dora)",
    build=build,
    save=save_adapter,
    load=load_adapter,
)
