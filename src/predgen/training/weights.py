"""The parameters that learn: taken out of a method, and put back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from predgen.errors import ModelError
from predgen.sharded import divided_like, whole
from predgen.training.run_folder import DIRECTOR


def trained_tensors(method: nn.Module) -> dict[str, Tensor]:
    """Every parameter that learns, by name, whole, on the CPU; where they are divided every process must ask."""
    return {
        name: whole(parameter.detach()).cpu().contiguous()
        for name, parameter in method.named_parameters()
        if parameter.requires_grad
    }


def load_trained(method: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `trained_tensors` took.

    Raises:
        ModelError: If a name is missing, unknown, or of another shape.
    """
    parameters = {name: parameter for name, parameter in method.named_parameters() if parameter.requires_grad}
    if parameters.keys() != tensors.keys():
        odd = sorted(parameters.keys() ^ tensors.keys())
        raise ModelError(f"A checkpoint does not fit the model: {len(odd)} parameters differ, e.g. {odd[:3]}.")
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(divided_like(tensor, parameters[name]))


def director_tensors(method: nn.Module) -> dict[str, Tensor]:
    """What learns outside the writer: the director's or head's parameters."""
    return {name: tensor for name, tensor in trained_tensors(method).items() if not name.startswith("writer.")}


def save_director(method: nn.Module, folder: Path) -> None:
    """Writes the director or head to the run folder, if there is one."""
    tensors = director_tensors(method)
    if tensors:
        save_file(tensors, folder / DIRECTOR)
