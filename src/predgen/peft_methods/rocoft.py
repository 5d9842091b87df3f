"""RoCoFT: some rows or columns of each weight learn, the rest is frozen (Kowsher et al. 2024).

Rows: y_S = (W_S + D) x for the outputs S. Columns: y = W x + D x_S for the inputs S. The learned difference D starts at
zero and is added to the layer's output, so that no step copies the weight; its gradient is that of the rows or columns
themselves. With weight decay D shrinks towards 0, and the weight towards where it was, not towards 0 as in the authors'
code, whose runs had none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from peft import PeftConfig as LibraryConfig
from peft.tuners.tuners_utils import check_target_module_exists
from torch import Tensor, nn
from torch.func import functional_call
from transformers.pytorch_utils import Conv1D

from predgen.config import PeftConfig
from predgen.errors import ConfigError
from predgen.peft_methods.adapter import features, load_adapter, put_in, save_adapter, target_modules, targets_of
from predgen.peft_methods.method import PeftMethod
from predgen.peft_methods.registration import PredgenPeftType, register
from predgen.peft_methods.tuner import OwnLayer, OwnModel

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


@dataclass
class RocoftConfig(LibraryConfig):
    """Which rows or columns of which modules learn."""

    target_modules: Any = field(default=None, metadata={"help": "names, a pattern, or all-linear"})
    exclude_modules: Any = field(default=None, metadata={"help": "names or a pattern that are left out"})
    modules_to_save: list[str] | None = field(default=None, metadata={"help": "modules that learn whole"})
    axis: str = field(default="rows", metadata={"help": "rows or columns"})
    count: int = field(default=1, metadata={"help": "the first so many"})
    chosen: list[int] | None = field(default=None, metadata={"help": "these in place of the first"})
    train_bias: bool = field(default=False, metadata={"help": "the targets' biases too"})
    norm_modules: list[str] | None = field(default=None, metadata={"help": "normalisations that learn whole"})

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        self.peft_type = PredgenPeftType.ROCOFT
        if isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)
        if self.axis not in ("rows", "columns"):
            raise ValueError(f"axis={self.axis!r}; expected rows or columns")


class RocoftLinear(OwnLayer):
    """A linear layer with D (|S| × in, or out × |S|) and, if asked for, a difference of its bias."""

    adapter_layer_names = ("rocoft_delta", "rocoft_bias")
    rocoft_delta: nn.ParameterDict
    rocoft_bias: nn.ParameterDict

    def create(self, adapter: str, config: RocoftConfig) -> None:
        """Zeros.

        Raises:
            ValueError: If the layer has fewer rows or columns than asked for.
        """
        base = self.get_base_layer()
        inputs, outputs = features(base)
        rows = config.axis == "rows"
        chosen = list(config.chosen or range(config.count))
        size = outputs if rows else inputs
        if len(set(chosen)) != len(chosen) or max(chosen) >= size:
            raise ValueError(f"the {config.axis} {chosen} are not {len(chosen)} of a layer's {size}")
        self._plan = {**getattr(self, "_plan", {}), adapter: (rows, chosen)}
        shape = (len(chosen), inputs) if rows else (outputs, len(chosen))
        self.rocoft_delta[adapter] = nn.Parameter(torch.zeros(shape))
        if config.train_bias and getattr(base, "bias", None) is not None:
            self.rocoft_bias[adapter] = nn.Parameter(torch.zeros(outputs))

    def apply_adapter(self, adapter: str, x: Tensor, result: Tensor) -> Tensor:
        """Adds D x where it belongs; of an input whose columns learn, these alone are kept for the backward pass."""
        rows, chosen = self._plan[adapter]
        delta = self.rocoft_delta[adapter]
        first = len(chosen) if chosen == list(range(len(chosen))) else 0
        if rows:
            change = F.linear(x.to(delta.dtype), delta)
            if first:
                result[..., :first] += change
            else:
                index = torch.tensor(chosen, device=result.device)
                result = result.index_add(-1, index, change.to(result.dtype))
        else:
            # A slice would keep the whole input alive.
            seen = x[..., :first].contiguous() if first else x[..., chosen]
            result = result + F.linear(seen.to(delta.dtype), delta)
        return result + self.rocoft_bias[adapter] if adapter in self.rocoft_bias else result

    def fold(self, adapter: str, weight: Tensor, bias: Tensor | None, sign: int) -> tuple[Tensor, Tensor | None]:
        """W ± D in the chosen rows or columns."""
        rows, chosen = self._plan[adapter]
        delta = sign * self.rocoft_delta[adapter]
        folded = weight.clone()
        # A Conv1D stores its weight the other way round; the view writes through.
        as_linear = folded.T if isinstance(self.get_base_layer(), Conv1D) else folded
        if rows:
            as_linear[chosen] += delta
        else:
            as_linear[:, chosen] += delta
        if bias is None or adapter not in self.rocoft_bias:
            return folded, bias
        return folded, bias + sign * self.rocoft_bias[adapter]


class RocoftNorm(OwnLayer):
    """A normalisation with differences of its weight and bias."""

    adapter_layer_names = ("rocoft_weight", "rocoft_bias")
    rocoft_weight: nn.ParameterDict
    rocoft_bias: nn.ParameterDict

    def create(self, adapter: str, config: RocoftConfig) -> None:
        """Zeros."""
        base: Any = self.get_base_layer()
        self.rocoft_weight[adapter] = nn.Parameter(torch.zeros(base.weight.shape))
        if getattr(base, "bias", None) is not None:
            self.rocoft_bias[adapter] = nn.Parameter(torch.zeros(base.bias.shape))

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The base's formula with the changed weights, in their precision."""
        adapters = [adapter for adapter in self.active_adapters if adapter in self.rocoft_weight]
        if self.disable_adapters or self.merged or not adapters:
            return super().forward(x, *args, **kwargs)
        base: Any = self.get_base_layer()
        changed = {name: parameter.float() for name, parameter in base.named_parameters()}
        for adapter in adapters:
            changed["weight"] = changed["weight"] + self.rocoft_weight[adapter]
            if adapter in self.rocoft_bias:
                changed["bias"] = changed["bias"] + self.rocoft_bias[adapter]
        result: Tensor = functional_call(base, changed, (x.float(), *args), kwargs)
        return result.to(x.dtype)

    def fold(self, adapter: str, weight: Tensor, bias: Tensor | None, sign: int) -> tuple[Tensor, Tensor | None]:
        """Weight and bias ± their differences."""
        folded = weight + sign * self.rocoft_weight[adapter]
        return folded, bias if bias is None else bias + sign * self.rocoft_bias[adapter]


class RocoftModel(OwnModel):
    """Puts `RocoftLinear`, and `RocoftNorm` where normalisations learn, into a base."""

    prefix = "rocoft_"
    layer = RocoftLinear

    def layer_for(self, base: nn.Module) -> type[OwnLayer] | None:
        """By the module's kind."""
        return RocoftNorm if is_norm(base) else super().layer_for(base)

    @staticmethod
    def _check_target_module_exists(peft_config: Any, key: str) -> Any:
        return key in (peft_config.norm_modules or ()) or check_target_module_exists(peft_config, key)


register(PredgenPeftType.ROCOFT, RocoftConfig, RocoftModel, "rocoft_")


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalisation with a weight an element."""
    weight = getattr(module, "weight", None)
    return "Norm" in type(module).__name__ and isinstance(weight, nn.Parameter) and weight.dim() == 1


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PeftModel:
    """Adds D = 0 to every target module.

    Args:
        model: The base; changed in place.
        config: rank (where no count is given), target_modules and rocoft are read.
        total_steps: Not needed.

    Raises:
        ConfigError: If the target modules are not in the model, or one has fewer rows or columns than asked for.
    """
    own = config.rocoft
    chosen = list(own.chosen or range(own.count or config.rank))
    if len(set(chosen)) != len(chosen):
        raise ConfigError(f"peft.rocoft.chosen={chosen} names a number twice.")
    for name, module in targets_of(model, config, "rocoft").items():
        size = features(module)[1 if own.axis == "rows" else 0]
        if max(chosen) >= size:
            asked = f"{own.axis} up to {max(chosen)}" if own.chosen else f"{len(chosen)} {own.axis}"
            raise ConfigError(
                f"RoCoFT cannot train {asked} of {name}, which has {size}.",
                "They are counted from 0.",
                "Lower peft.rank, peft.rocoft.count or peft.rocoft.chosen, or leave this module out.",
            )
    norms = [name for name, module in model.named_modules() if is_norm(module)] if own.train_norms else None
    rocoft = RocoftConfig(
        task_type="CAUSAL_LM",
        target_modules=target_modules(config),
        axis=own.axis,
        count=len(chosen),
        chosen=list(own.chosen) or None,
        train_bias=own.train_bias,
        norm_modules=norms,
    )
    return put_in(model, rocoft)


ROCOFT = PeftMethod(
    "rocoft",
    "W + D in k rows or columns",
    "Kowsher et al. 2024",
    "ours: RocoftConfig",
    build=build,
    save=save_adapter,
    load=load_adapter,
)
