"""DoRA: y = m · (W + (α / r) · B A) / ‖W + (α / r) · B A‖ x, its norm a row (Liu et al. 2024), as peft has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from predgen.config import PeftConfig
from predgen.peft_methods.adapter import load_adapter, put_in, save_adapter
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
        ConfigError: If the target modules are not in the model.
    """
    return put_in(model, lora_config(config, use_dora=True))


DORA = PeftMethod(
    "dora",
    "m · (W + (α/r)·B·A) / ‖W + (α/r)·B·A‖, magnitude apart (Liu et al. 2024)",
    build,
    save_adapter,
    load_adapter,
)
