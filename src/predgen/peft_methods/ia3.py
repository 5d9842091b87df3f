"""(IA)³: y = l · (W x + b), or y = W (l · x) + b in the feed-forward part (Liu et al. 2022), as peft has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from predgen.config import PeftConfig
from predgen.errors import ConfigError
from predgen.peft_methods.adapter import load_adapter, put_in, save_adapter, targets_of
from predgen.peft_methods.method import PeftMethod

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PeftModel:
    """Adds a scale of one an output, or an input of feed-forward modules, to every target module.

    The paper's own choice for Llama is `target_modules: [k_proj, v_proj, down_proj]`.

    Args:
        model: The base; changed in place.
        config: target_modules and ia3 are read.
        total_steps: Not needed.

    Raises:
        ConfigError: If the target modules are not in the model, or feed-forward modules are not among them.
    """
    import peft
    from peft.utils import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING

    targets = targets_of(model, config, "ia3")
    wanted = config.ia3.feedforward
    if wanted is None:
        known = TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING.get(model.config.model_type, [])
        inner = {name for name in targets for one in known if name == one or name.endswith(f".{one}")}
    else:
        chosen = targets_of(model, PeftConfig(target_modules=wanted), "ia3")
        if not chosen.keys() <= targets.keys():
            missing = sorted(chosen.keys() - targets.keys())
            raise ConfigError(
                f"peft.ia3.feedforward={wanted!r} names {missing[0]}, which is none of peft.target_modules.",
                "Feed-forward modules must be targets too.",
            )
        inner = set(chosen)
    ia3 = peft.IA3Config(task_type="CAUSAL_LM", target_modules=sorted(targets), feedforward_modules=sorted(inner))
    return put_in(model, ia3)


IA3 = PeftMethod(
    "ia3", "l·W, or W·l of the input", "Liu et al. 2022", "IA3Config", build=build, save=save_adapter, load=load_adapter
)
