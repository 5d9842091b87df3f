"""What RoCoFT and Propulsion share: a tuner and a layer of ours under peft's base classes."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn

from predgen.peft_methods.adapter import is_plain


class OwnLayer(nn.Module, BaseTunerLayer):
    """A linear layer with an adapter of ours; a subclass says what it holds and what that does.

    Args:
        base_layer: What is adapted: a Linear, a Conv1D, or another tuner's layer around one.
        adapter_name: The first adapter's name.
        config: Its settings.
    """

    adapter_layer_names: tuple[str, ...] = ()

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: Any) -> None:
        super().__init__()
        self.base_layer = base_layer
        for name in self.adapter_layer_names:
            setattr(self, name, nn.ParameterDict())
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def create(self, adapter: str, config: Any) -> None:
        """Makes an adapter's parameters, so that they change nothing yet."""
        raise NotImplementedError

    def apply_adapter(self, adapter: str, x: Tensor, result: Tensor) -> Tensor:
        """The layer's output for an input, given the output without the adapter, which may be changed in place."""
        raise NotImplementedError

    def fold(self, adapter: str, weight: Tensor, bias: Tensor | None, sign: int) -> tuple[Tensor, Tensor | None]:
        """Weight, as the base stores it, and bias with the adapter in them (sign 1), or out of them again (−1)."""
        raise NotImplementedError

    def update_layer(self, adapter_name: str, config: Any) -> None:
        """Adds an adapter; peft's name for it."""
        self.create(adapter_name, config)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The base's output, changed by every active adapter in turn; it keeps its precision."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        result: Tensor = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return result
        dtype = result.dtype
        for adapter in self.active_adapters:
            if adapter in self._get_available_adapters():
                result = self.apply_adapter(adapter, x, result)
        return result.to(dtype)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Puts adapters into the base's weight and bias; those that are in it already are passed over.

        Raises:
            ValueError: If `safe_merge` and a number would not be finite; the base is as it was.
        """
        for adapter in check_adapters_to_merge(self, adapter_names):
            if adapter in self._get_available_adapters():
                self._set(adapter, 1, safe_merge)
                self.merged_adapters.append(adapter)

    def unmerge(self) -> None:
        """Takes merged adapters out of the base again, the last one first."""
        while self.merged_adapters:
            self._set(self.merged_adapters.pop(), -1, safe=False)

    @torch.no_grad()
    def _set(self, adapter: str, sign: int, safe: bool) -> None:
        base: Any = self.get_base_layer()
        bias = getattr(base, "bias", None)
        folded = self.fold(adapter, base.weight.float(), None if bias is None else bias.float(), sign)
        if safe and not all(torch.isfinite(tensor).all() for tensor in folded if tensor is not None):
            raise ValueError(f"The adapter {adapter} holds numbers that are not finite; it was not merged.")
        base.weight.data = folded[0].to(base.weight.dtype)
        if bias is not None and folded[1] is not None:
            bias.data = folded[1].to(bias.dtype)


class OwnModel(BaseTuner):
    """Puts layers of ours into a base."""

    tuner_layer_cls = OwnLayer
    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012  # as peft declares it
    layer: ClassVar[type[OwnLayer]]

    def layer_for(self, base: nn.Module) -> type[OwnLayer] | None:
        """The class that wraps a module; None where there is none."""
        return self.layer if is_plain(base) else None

    def _prepare_adapter_config(self, peft_config: Any, model_config: dict[str, Any]) -> Any:
        if peft_config.target_modules is None:
            peft_config.target_modules = "all-linear"
        return peft_config

    def _create_and_replace(
        self,
        peft_config: Any,
        adapter_name: str,
        target: Any,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, OwnLayer):
            target.update_layer(adapter_name, peft_config)
            return
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        layer = self.layer_for(base)
        if layer is None:
            raise TypeError(f"{current_key} is a {type(base).__name__}; expected a Linear or Conv1D.")
        new = layer(target, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            new.requires_grad_(False)  # an additional adapter learns once it is chosen
        self._replace_module(parent, target_name, new, target)
