"""What all adapters of the peft library share: being put into a base, saved and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from predgen.config import PeftConfig
from predgen.errors import ConfigError

if TYPE_CHECKING:
    from peft import PeftConfig as LibraryConfig
    from peft import PeftModel
    from transformers import PreTrainedModel


def target_modules(config: PeftConfig) -> str | list[str]:
    """The settings' targets in the form that peft wants."""
    targets = config.target_modules
    return targets if isinstance(targets, str) else list(targets)


def put_in(model: PreTrainedModel, library_config: LibraryConfig) -> PeftModel:
    """Adapts a base in place; what learns is float32, whatever the base's precision.

    Raises:
        ConfigError: If peft refuses: target modules that are not there, a schedule that does not fit.
    """
    import peft  # here, since it loads torch

    try:
        adapted: PeftModel = peft.get_peft_model(model, library_config)
    except ValueError as problem:
        raise ConfigError(f"The peft settings do not fit this model: {problem}") from problem
    return adapted


def save_adapter(lm: Any, folder: Path, base_name: str) -> None:
    """Writes adapter_model.safetensors and adapter_config.json, as plain peft reads them."""
    for library_config in lm.peft_config.values():
        # peft would write where the base lay on this machine; its name says what it is anywhere.
        library_config.base_model_name_or_path = base_name
    # Embeddings never learn here; asked for by default, they would be looked for under the base's name on the hub.
    lm.save_pretrained(str(folder), save_embedding_layers=False)


def load_adapter(base: PreTrainedModel, folder: Path) -> PeftModel:
    """Puts a saved adapter into its base."""
    import peft

    adapted: PeftModel = peft.PeftModel.from_pretrained(base, str(folder), use_safetensors=True)
    return adapted
