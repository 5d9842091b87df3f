"""VeRA: y = W x + b · B (d · A x), A and B random and shared, b and d learned (Kopiczko et al. 2024); it is peft's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from predgen.config import PeftConfig
from predgen.peft_methods.adapter import load_adapter, put_in, save_adapter, target_modules, targets_of
from predgen.peft_methods.method import PeftMethod

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PeftModel:
    """Adds d (of rank r) and b (zero, an output) to every target module; ranks of some hundred are usual.

    A and B are as large as the largest target asks for, and are saved with the adapter, so that it is the same wherever
    it is loaded.

    Args:
        model: The base; changed in place.
        config: rank, dropout, target_modules and vera are read.
        total_steps: Not needed.

    Raises:
        ConfigError: If the target modules are not in the model.
    """
    import peft

    targets_of(model, config, "vera")
    vera = peft.VeraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        vera_dropout=config.dropout,
        target_modules=target_modules(config),
        d_initial=config.vera.start,
        projection_prng_key=config.vera.seed,
        save_projection=True,
    )
    return put_in(model, vera)


VERA = PeftMethod(
    "vera",
    "W + diag(b)·B·diag(d)·A, A and B shared",
    "Kopiczko et al. 2024",
    "VeraConfig",
    build=build,
    save=save_adapter,
    load=load_adapter,
)
