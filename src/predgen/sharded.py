"""Weights that several processes hold in parts (FSDP): what is whole to the outside, and what goes back in.

While a module runs, FSDP puts its parts together; outside, a parameter is a `DTensor`, and each process holds a slice.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from predgen.errors import ConfigError

# What is called besides `forward`, and needs whole weights as much.
_ENTRANCES = ("answers", "write_freely")


def asked_to_shard() -> bool:
    """Whether a launcher asks for weights in parts.

    Raises:
        ConfigError: If it asks for what predgen does not train under.
    """
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true":
        raise ConfigError(
            "The launcher asks for DeepSpeed, whose checkpoints are pickles.",
            "predgen keeps and reads none.",
            "Launch with recipes/accelerate/fsdp.yaml, which divides weights as ZeRO-3 does.",
        )
    asked = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    if asked and os.environ.get("FSDP_VERSION", "1") != "2":
        raise ConfigError(
            "The launcher asks for FSDP version 1.", "predgen trains under version 2.", "Set fsdp_version: 2."
        )
    return asked


def is_sharded(module: nn.Module) -> bool:
    """Whether its weights, or some of them, are divided among processes."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return False
    from torch.distributed.fsdp import FSDPModule

    return any(isinstance(part, FSDPModule) for part in module.modules())


def open_entrances(method: nn.Module) -> None:
    """Lets a sharded method score as well as learn."""
    from torch.distributed.fsdp import register_fsdp_forward_method

    for name in _ENTRANCES:
        if hasattr(method, name):
            register_fsdp_forward_method(method, name)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor; where it is divided every process must ask."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def divided_like(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor, divided as another of its shape is, if it is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(other, DTensor) or tensor.shape != other.shape:
        return tensor
    return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements)
