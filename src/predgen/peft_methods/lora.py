"""LoRA: y = W x + (α / r) · B A x (Hu et al. 2021), as peft has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from predgen.config import PeftConfig
from predgen.peft_methods.adapter import load_adapter, put_in, save_adapter, target_modules
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
        ConfigError: If the target modules are not in the model.
    """
    return put_in(model, lora_config(config))


def lora_config(config: PeftConfig, use_dora: bool = False) -> LoraConfig:
    """The settings in peft's own form; DoRA is a switch of it."""
    import peft  # here, since it loads torch

    return peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft divides it by r, whole or not
        lora_dropout=config.dropout,
        target_modules=target_modules(config),
        use_dora=use_dora,
    )


LORA = PeftMethod("lora", "W + (α/r)·B·A, low rank (Hu et al. 2021)", build, save_adapter, load_adapter)
