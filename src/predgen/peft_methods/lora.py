"""LoRA: y = W x + (α / r) · B A x (Hu et al. 2021), as peft has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from predgen.config import PeftConfig
from predgen.errors import ConfigError
from predgen.peft_methods.method import PeftMethod

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def build(model: PreTrainedModel, config: PeftConfig) -> PeftModel:
    """Adds A (random) and B (zero) of rank r beside every target module.

    Args:
        model: The base; changed in place.
        config: rank, alpha, dropout and target_modules are read.

    Raises:
        ConfigError: If the target modules are not in the model.
    """
    import peft  # here, since it loads torch

    targets = config.target_modules
    lora = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft divides it by r, whole or not
        lora_dropout=config.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
    )
    try:
        adapted: PeftModel = peft.get_peft_model(model, lora)
    except ValueError as problem:
        raise ConfigError(f"peft.target_modules={targets!r} does not fit this model: {problem}") from problem
    return adapted


LORA = PeftMethod(name="lora", summary="W + (α/r)·B·A, low rank (Hu et al. 2021)", build=build)
