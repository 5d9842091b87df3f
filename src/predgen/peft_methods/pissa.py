"""PiSSA: LoRA that starts from the weight's own largest singular directions (Meng et al. 2024), as peft has it.

W = (W − s·B₀A₀) + s·B₀A₀, s = α / r; the first part is frozen, the second learns. Only the base in memory is changed: the
file holds s·(B A − B₀A₀) as LoRA of rank 2r, [A; A₀] and [B, −B₀], and so belongs on the original base.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from predgen.config import PeftConfig
from predgen.peft_methods.adapter import check_rank, load_adapter, put_in, save_adapter, targets_of
from predgen.peft_methods.lora import lora_config
from predgen.peft_methods.method import PeftMethod

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

_START = "pissa_start"  # what peft calls the adapter of the first factors while it writes


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PeftModel:
    """Splits every target's weight; the first factors are kept aside for `save`.

    Args:
        model: The base; its weights are changed in place.
        config: rank, alpha, dropout, target_modules and pissa are read.
        total_steps: Not needed.

    Raises:
        ConfigError: As for LoRA.
    """
    check_rank(targets_of(model, config, "pissa"), config.rank)
    fast = config.pissa.iterations
    adapted = put_in(model, lora_config(config, init_lora_weights=f"pissa_niter_{fast}" if fast else "pissa"))
    settings: Any = adapted.peft_config["default"]
    # What is written from here on is LoRA; loading it must not split the base again.
    settings.init_lora_weights = True
    adapted.pissa_start = {
        name: parameter.detach().clone() for name, parameter in adapted.named_parameters() if parameter.requires_grad
    }
    return adapted


def save(lm: Any, folder: Path, base_name: str) -> None:
    """Writes the difference to the start as LoRA of twice the rank, by peft's own conversion."""
    if not hasattr(lm, "pissa_start"):  # loaded from such a file already
        save_adapter(lm, folder, base_name)
        return
    now = {name: parameter.detach().clone() for name, parameter in lm.named_parameters() if name in lm.pissa_start}
    with TemporaryDirectory() as scratch:
        start = Path(scratch) / _START
        _put(lm, lm.pissa_start)
        lm.save_pretrained(str(start), save_embedding_layers=False)
        _put(lm, now)
        lm.peft_config["default"].base_model_name_or_path = base_name
        lm.save_pretrained(
            str(folder), save_embedding_layers=False, path_initial_model_for_weight_conversion=str(start)
        )


def _put(lm: Any, tensors: dict[str, Any]) -> None:
    for name, parameter in lm.named_parameters():
        if name in tensors:
            parameter.data.copy_(tensors[name])


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
