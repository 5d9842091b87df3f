"""DoRA: y = m · (W + (α / r) · B A) / ‖W + (α / r) · B A‖ x, its norm a row (Liu et al. 2024), as peft has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from predgen.config import PeftConfig
from predgen.peft_methods.adapter import load_adapter, put_in, save_adapter, target_modules
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
        ConfigError: If the target modules are not in the model.
    """
    import peft  # here, since it loads torch

    dora = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft divides it by r, whole or not
        lora_dropout=config.dropout,
        target_modules=target_modules(config),
        use_dora=True,
    )
    return put_in(model, dora)


DORA = PeftMethod(
    "dora",
    "m · (W + (α/r)·B·A) / ‖W + (α/r)·B·A‖, magnitude apart (Liu et al. 2024)",
    build,
    save_adapter,
    load_adapter,
)
