"""AdaLoRA: y = W x + (α / r) · P Λ Q x, ranks moved to where they matter (Zhang et al. 2023), as peft has it.

r is the rank before any is taken away, and stays so.

Three things stand outside a plain training loop, and all are done here: the orthogonality term, which peft adds only
to a loss that its own model computes; the allocation of ranks after each optimizer step, which needs the gradients; and
the allocator's averages, which no adapter file holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from predgen.config import PeftConfig
from predgen.errors import ConfigError
from predgen.peft_methods.adapter import check_rank, load_adapter, put_in, save_adapter, target_modules, targets_of
from predgen.peft_methods.method import PeftMethod
from predgen.sharded import whole

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

_AVERAGES = ("ipt", "exp_avg_ipt", "exp_avg_unc")  # the allocator's: importance, smoothed importance, its uncertainty
_PATTERN = "pattern"


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PeftModel:
    """Adds P, Λ, Q of `adalora.init_rank`, to be thinned out to `rank` a module on average.

    Args:
        model: The base; changed in place.
        config: rank, alpha, dropout, target_modules and adalora are read.
        total_steps: The allocation runs between `adalora.warmup` and 1 − `adalora.cooldown` of them.

    Raises:
        ConfigError: If the target modules are not in the model, or the run is too short to allocate.
    """
    import peft

    own = config.adalora
    first, last = int(own.warmup * total_steps), int(own.cooldown * total_steps)
    if first >= total_steps - last:
        raise ConfigError(
            f"AdaLoRA has no step to allocate ranks in: {first} of {total_steps} steps are warm-up, {last} cool-down.",
            remedy="Train for more steps, or lower peft.adalora.warmup and cooldown.",
        )
    initial = own.init_rank if own.init_rank is not None else -(-config.rank * 3 // 2)
    if initial <= config.rank:
        raise ConfigError(
            f"peft.adalora.init_rank={initial} leaves nothing to thin out to peft.rank={config.rank}.",
            "It must be above the rank.",
        )
    check_rank(targets_of(model, config, "adalora"), initial, "peft.adalora.init_rank")
    adalora = peft.AdaLoraConfig(
        task_type="CAUSAL_LM",
        init_r=initial,
        target_r=config.rank,
        tinit=first,
        tfinal=last,
        deltaT=own.every,
        beta1=own.beta1,
        beta2=own.beta2,
        orth_reg_weight=own.orthogonality,
        total_step=total_steps,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft divides it by r, whole or not
        lora_dropout=config.dropout,
        target_modules=target_modules(config),
    )
    adapted = put_in(model, adalora)
    # In half precision peft makes the divisor r a parameter anew, which then learns, and which no file holds.
    for name, parameter in adapted.named_parameters():
        if "ranknum" in name:
            parameter.requires_grad_(False)
    return adapted


def penalty(lm: Any) -> Tensor:
    """The mean over all P and Q of ‖PᵀP − I‖_F, ‖Q Qᵀ − I‖_F, weighted: P Λ Q stays near a decomposition."""
    terms = []
    for name, parameter in lm.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            product = parameter @ parameter.T if "lora_A" in name else parameter.T @ parameter
            terms.append(torch.linalg.matrix_norm(product - torch.eye(product.shape[0], device=product.device)))
    weighted: Tensor = _config(lm).orth_reg_weight * torch.stack(terms).mean()
    return weighted


def after_step(lm: Any, step: int) -> None:
    """Updates the importance of every rank and, when it is time, takes the least important away.

    A step whose gradients are not finite, which a loss scaler has left out, says nothing of importance.
    """
    norms = [whole(parameter.grad.norm()) for parameter in lm.parameters() if parameter.grad is not None]
    if not torch.isfinite(torch.stack(norms)).all():
        return
    last = _config(lm).total_step - _config(lm).tfinal
    # The allocator forgets importance with the last allocation; if that step was left out, this one stands in for it.
    due = step > last and lm.base_model.rankallocator.ipt
    lm.base_model.update_and_allocate(last if due else step)


def state(lm: Any) -> dict[str, Tensor]:
    """The allocator's averages, and which ranks are left."""
    allocator = lm.base_model.rankallocator
    tensors = {
        f"{average}/{name}": tensor.detach().cpu().contiguous()
        for average in _AVERAGES
        for name, tensor in getattr(allocator, average).items()
    }
    for name, kept in (_config(lm).rank_pattern or {}).items():
        tensors[f"{_PATTERN}/{name}"] = torch.tensor(kept, dtype=torch.bool)
    return tensors


def restore(lm: Any, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `state` took."""
    allocator = lm.base_model.rankallocator
    device = next(lm.parameters()).device
    allocator.reset_ipt()
    pattern: dict[str, list[bool]] = {}
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        if kind == _PATTERN:
            pattern[name] = tensor.tolist()
        else:
            getattr(allocator, kind)[name] = tensor.to(device)
    _config(lm).rank_pattern = pattern or None


def save(lm: Any, folder: Path, base_name: str) -> None:
    """As other adapters, with the factors of all ranks: those that were taken away have Λ = 0.

    peft 0.21 would leave them out of the file, and looks for them under other names when it loads it.
    """
    pattern, _config(lm).rank_pattern = _config(lm).rank_pattern, None
    save_adapter(lm, folder, base_name)
    _config(lm).rank_pattern = pattern


def _config(lm: Any) -> Any:
    return lm.peft_config[lm.active_adapter]


ADALORA = PeftMethod(
    "adalora",
    "W + (α/r)·P·Λ·Q, ranks by importance",
    "Zhang et al. 2023",
    "AdaLoraConfig",
    build=build,
    save=save,
    load=load_adapter,
    penalty=penalty,
    after_step=after_step,
    state=state,
    restore=restore,
)
