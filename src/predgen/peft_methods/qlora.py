"""QLoRA: LoRA over a base that is held in four bits (Dettmers et al. 2023), through bitsandbytes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from predgen.config import PeftConfig
from predgen.errors import ConfigError
from predgen.peft_methods.adapter import check_rank, is_linear, load_adapter, put_in, save_adapter, targets_of
from predgen.peft_methods.lora import lora_config
from predgen.peft_methods.method import PeftMethod

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def check(config: PeftConfig) -> None:
    """Refuses machines that cannot hold a base in four bits.

    Raises:
        ConfigError: If there is no GPU, or no bitsandbytes.
    """
    import torch

    if not torch.cuda.is_available():
        raise ConfigError(
            "peft.method=qlora needs a GPU: bitsandbytes holds the base in four bits there.",
            remedy="On a CPU choose peft.method=lora; train.precision=bf16 halves its memory.",
        )
    if find_spec("bitsandbytes") is None:
        raise ConfigError("peft.method=qlora needs bitsandbytes.", remedy="pip install 'predgen[qlora]'")


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PeftModel:
    """LoRA beside four-bit layers; A and B are float32.

    Args:
        model: The base, loaded in four bits; changed in place.
        config: rank, alpha, dropout and target_modules are read.
        total_steps: Not needed.

    Raises:
        ConfigError: As for LoRA.
    """
    check_rank(targets_of(model, config, "qlora", is_linear), config.rank)
    return put_in(model, lora_config(config))


QLORA = PeftMethod(
    "qlora",
    "four-bit W + (α/r)·B·A",
    "Dettmers et al. 2023",
    "LoraConfig",
    build=build,
    save=save_adapter,
    load=load_adapter,
    quantised=True,
    check=check,
    merge=None,
)
