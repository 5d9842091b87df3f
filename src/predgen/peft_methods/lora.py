"""LoRA: y = W x + (α / r) · B A x (Hu et al. 2021), as peft has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from predgen.config import PeftConfig
from predgen.peft_methods.adapter import (
    check_rank,
    is_plain_or_embedding,
    load_adapter,
    put_in,
    save_adapter,
    target_modules,
    targets_of,
)
from predgen.peft_methods.method import PeftMethod

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PeftModel:
    """Adds A (random) and B (zero) of rank r beside every target module.

    Args:
        model: The base; changed in place.
        config: rank, alpha, dropout and target_modules are read.
        total_steps: Not needed.

    Raises:
        ConfigError: If the target modules are not in the model, or the rank is more than one of them can have.
    """
    check_rank(targets_of(model, config, "lora", is_plain_or_embedding), config.rank)
    return put_in(model, lora_config(config))


def lora_config(config: PeftConfig, **switches: Any) -> LoraConfig:
    """The settings in peft's own form; DoRA and others are switches of it."""
    import peft

    return peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft divides it by r, whole or not
        lora_dropout=config.dropout,
        target_modules=target_modules(config),
        **switches,
    )


LORA = PeftMethod(
    "lora", "W + (α/r)·B·A", "Hu et al. 2021", "LoraConfig", build=build, save=save_adapter, load=load_adapter
)
