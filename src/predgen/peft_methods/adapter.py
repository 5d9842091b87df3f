"""What all adapters of the peft library share: being put into a base, saved and loaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from predgen.config import PeftConfig
from predgen.errors import ConfigError, nearest

if TYPE_CHECKING:
    from peft import PeftConfig as LibraryConfig
    from peft import PeftModel
    from transformers import PreTrainedModel

ALL_LINEAR = "all-linear"


def target_modules(config: PeftConfig) -> str | list[str]:
    """The settings' targets in the form that peft wants."""
    targets = config.target_modules
    return targets if isinstance(targets, str) else list(targets)


def is_plain(module: nn.Module) -> bool:
    """Whether a layer is a linear map with a weight that can be read: not quantised, not a convolution."""
    return isinstance(module, nn.Linear | Conv1D) and module.weight.is_floating_point()


def is_plain_or_embedding(module: nn.Module) -> bool:
    """As `is_plain`, or an embedding."""
    return is_plain(module) or isinstance(module, nn.Embedding)


def is_linear(module: nn.Module) -> bool:
    """Whether a layer is a linear map, quantised or not."""
    return isinstance(module, nn.Linear | Conv1D)


def features(module: nn.Module) -> tuple[int, int]:
    """Inputs and outputs of a linear layer or an embedding."""
    if isinstance(module, nn.Embedding):
        return module.num_embeddings, module.embedding_dim
    if isinstance(module, Conv1D):
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    assert isinstance(module, nn.Linear)
    return module.in_features, module.out_features


def targets_of(
    model: PreTrainedModel, config: PeftConfig, method: str, wraps: Callable[[nn.Module], bool] = is_plain
) -> dict[str, nn.Module]:
    """The modules that the settings name, each of which the method can wrap.

    Args:
        model: The base.
        config: target_modules is read.
        method: Named in the error message.
        wraps: Whether the method can wrap a module.

    Raises:
        ConfigError: If a name or the pattern matches nothing, or a module of another type; the message names it.
    """
    from peft.utils.other import match_target_against_key

    named = {name: module for name, module in model.named_modules() if name}
    linear = {name: module for name, module in named.items() if is_linear(module)}
    chosen = config.target_modules
    if chosen == ALL_LINEAR:
        output = model.get_output_embeddings()  # type: ignore[no-untyped-call]  # it is not adapted by default
        found = {name: module for name, module in linear.items() if module is not output}
    elif isinstance(chosen, str):
        try:
            found = {name: module for name, module in named.items() if match_target_against_key(chosen, name)}
        except re.error as problem:
            raise ConfigError(f"peft.target_modules={chosen!r} is not a pattern: {problem}.") from problem
    else:
        found = {}
        for wanted in chosen:
            matching = {name: named[name] for name in named if name == wanted or name.endswith(f".{wanted}")}
            if not matching:
                known = {name.rpartition(".")[2] for name in linear}
                raise ConfigError(f"peft.target_modules: no module is called {wanted!r};", nearest(wanted, known))
            found |= matching
    if not found:
        known = {name.rpartition(".")[2] for name in linear}
        raise ConfigError(
            f"peft.target_modules={chosen!r} matches no module;",
            nearest(str(chosen), known),
            "It is a pattern for whole names.",
        )
    for name, module in found.items():
        if not wraps(module):
            raise ConfigError(
                f"{method} cannot wrap {name}: it is a {type(module).__name__}.",
                remedy="Choose other peft.target_modules, or another peft.method.",
            )
    return found


def check_rank(targets: dict[str, nn.Module], rank: int, what: str = "peft.rank") -> None:
    """Refuses a rank that some layer cannot have.

    Raises:
        ConfigError: The message names the first such layer and its size.
    """
    for name, module in targets.items():
        if rank > min(features(module)):
            size = " × ".join(map(str, features(module)))
            raise ConfigError(
                f"{what}={rank} is more than {name} can have, which is {size}.",
                f"Expected at most {min(min(features(each)) for each in targets.values())}.",
            )


def put_in(model: PreTrainedModel, library_config: LibraryConfig) -> PeftModel:
    """Adapts a base in place; what learns is float32, whatever the base's precision.

    Raises:
        ConfigError: If peft refuses: a schedule that does not fit, settings that exclude each other.
    """
    import peft

    try:
        adapted: PeftModel = peft.get_peft_model(model, library_config)
    except (ValueError, TypeError) as problem:
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
