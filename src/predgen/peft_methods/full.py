"""Full fine-tuning: every weight of the base learns; the run folder holds a whole model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from predgen.config import PeftConfig
from predgen.peft_methods.method import PeftMethod

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PreTrainedModel:
    """The base itself, with all its parameters learning; they are in float32, whatever the passes.

    Args:
        model: The base.
        config: Nothing of it is read.
        total_steps: Not needed.
    """
    model.requires_grad_(True)
    return model


def save(lm: Any, folder: Path, base_name: str) -> None:
    """Writes model.safetensors and config.json, as transformers reads them."""
    lm.save_pretrained(str(folder))


def load(base: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model that was loaded from the run folder, as it is."""
    return base


FULL = PeftMethod("full", "W, every weight", "", "none", build=build, save=save, load=load, whole=True, merge=None)
