"""PiSSA: LoRA that starts from the weight's own largest singular directions (Meng et al. 2024), as peft has it.

W = (W − s·B₀A₀) + s·B₀A₀, s = α / r; the first part is frozen, the second learns. Only the base in memory is changed:
the file holds s·(B A − B₀A₀) as LoRA of rank 2r, [A; A₀] and [B, −B₀], and so belongs on the original base. Where that
is in half precision, W − s·B₀A₀ is rounded, and what is loaded differs from what was trained by as much.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from predgen.config import PeftConfig
from predgen.peft_methods.adapter import check_rank, load_adapter, put_in, save_adapter, targets_of
from predgen.peft_methods.lora import lora_config
from predgen.peft_methods.method import PeftMethod, untie

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PeftModel:
    """Splits every target's weight; the first factors are kept aside for `save`.

    Args:
        model: The base; its weights are changed in place.
        config: rank, alpha, dropout, target_modules and pissa are read.
        total_steps: Not needed.

    Raises:
        ConfigError: As for LoRA.
    """
    targets = targets_of(model, config, "pissa")
    check_rank(targets, config.rank)
    output: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if any(module is output for module in targets.values()):
        untie(model)  # the input embeddings must not be split with it
    fast = config.pissa.iterations
    adapted = put_in(model, lora_config(config, init_lora_weights=f"pissa_niter_{fast}" if fast else "pissa"))
    adapted.pissa_start = _factors(adapted)  # type: ignore[assignment]  # no parameter: it neither learns nor is saved
    return adapted


def save(lm: Any, folder: Path, base_name: str) -> None:
    """Writes the difference to the start as LoRA of twice the rank."""
    if not hasattr(lm, "pissa_start"):  # loaded from such a file already
        save_adapter(lm, folder, base_name)
        return
    tensors = {}
    for name, factor in _factors(lm).items():
        now, start = factor.cpu(), lm.pissa_start[name].cpu()
        tensors[name] = torch.cat([now, start], dim=0) if "lora_A" in name else torch.cat([now, -start], dim=1)
    settings = copy.deepcopy(lm.peft_config[lm.active_adapter])
    settings.r, settings.lora_alpha = 2 * settings.r, 2 * settings.lora_alpha  # the scale α / r stays
    # What is written is LoRA; loading it must not split the base again.
    settings.init_lora_weights = True
    settings.base_model_name_or_path, settings.inference_mode = base_name, True
    folder.mkdir(parents=True, exist_ok=True)
    settings.save_pretrained(str(folder))
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _factors(lm: PeftModel) -> dict[str, Tensor]:
    """A and B of every target, by the names that a file has."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(lm, save_embedding_layers=False)
    return {name: tensor.detach().clone() for name, tensor in state.items()}


PISSA = PeftMethod(
    "pissa",
    "(W − s·B₀·A₀) + s·B·A, from W's singular vectors",
    "Meng et al. 2024",
    "LoraConfig",
    build=build,
    save=save,
    load=load_adapter,
    goes_on=False,
)
