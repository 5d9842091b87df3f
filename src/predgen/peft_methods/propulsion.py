"""Propulsion: y = (W x + b) · z^k, a learned scale z an output, to a fixed degree k (Kowsher et al. 2024).

Near z = 1 a step of z moves the output k times as far: its learning rate is not to be compared with LoRA's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftConfig as LibraryConfig
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from predgen.config import PeftConfig
from predgen.peft_methods.adapter import features, load_adapter, put_in, save_adapter, target_modules, targets_of
from predgen.peft_methods.method import PeftMethod
from predgen.peft_methods.registration import PredgenPeftType, register
from predgen.peft_methods.tuner import OwnLayer, OwnModel

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


@dataclass
class PropulsionConfig(LibraryConfig):
    """Which modules' outputs are scaled, and to which degree."""

    target_modules: Any = field(default=None, metadata={"help": "names, a pattern, or all-linear"})
    exclude_modules: Any = field(default=None, metadata={"help": "names or a pattern that are left out"})
    modules_to_save: list[str] | None = field(default=None, metadata={"help": "modules that learn whole"})
    degree: int = field(default=15, metadata={"help": "the power of z"})

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        self.peft_type = PredgenPeftType.PROPULSION
        if isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)


class PropulsionLinear(OwnLayer):
    """A linear layer with z (out)."""

    adapter_layer_names = ("propulsion_scale",)
    propulsion_scale: nn.ParameterDict

    def create(self, adapter: str, config: PropulsionConfig) -> None:
        """Ones."""
        self._degrees = {**getattr(self, "_degrees", {}), adapter: config.degree}
        self.propulsion_scale[adapter] = nn.Parameter(torch.ones(features(self.get_base_layer())[1]))

    def apply_adapter(self, adapter: str, x: Tensor, result: Tensor) -> Tensor:
        """Times z^k, the bias too."""
        return result * self._scale(adapter)

    def fold(self, adapter: str, weight: Tensor, bias: Tensor | None, sign: int) -> tuple[Tensor, Tensor | None]:
        """Every output's weights and bias times z^k, or divided by it.

        Raises:
            ValueError: If some z is 0: what it was multiplied by cannot be told from the product.
        """
        scale = self._scale(adapter)
        if sign < 0 and (scale == 0).any():
            raise ValueError(f"The adapter {adapter} has scales of 0, and cannot be taken out again.")
        scale = scale**sign
        # A Conv1D has its outputs in the last dimension.
        folded = weight * (scale if isinstance(self.get_base_layer(), Conv1D) else scale[:, None])
        return folded, bias if bias is None else bias * scale

    def _scale(self, adapter: str) -> Tensor:
        scale: Tensor = self.propulsion_scale[adapter] ** self._degrees[adapter]
        return scale


class PropulsionModel(OwnModel):
    """Puts `PropulsionLinear` into a base."""

    prefix = "propulsion_"
    layer = PropulsionLinear


register(PredgenPeftType.PROPULSION, PropulsionConfig, PropulsionModel, "propulsion_")


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PeftModel:
    """Adds z = 1 to every target module.

    Args:
        model: The base; changed in place.
        config: target_modules and propulsion are read.
        total_steps: Not needed.

    Raises:
        ConfigError: If the target modules are not in the model.
    """
    targets_of(model, config, "propulsion")
    propulsion = PropulsionConfig(
        task_type="CAUSAL_LM", target_modules=target_modules(config), degree=config.propulsion.degree
    )
    return put_in(model, propulsion)


PROPULSION = PeftMethod(
    "propulsion",
    "z^k · W, a scale an output",
    "Kowsher et al. 2024",
    "ours: PropulsionConfig",
    build=build,
    save=save_adapter,
    load=load_adapter,
)
