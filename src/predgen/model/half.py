"""A float32 method in bfloat16: the language model's passes, not its scoring head, nor what reads its states."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def in_bfloat16(method: M) -> M:
    """A copy whose language model is bfloat16 up to its last states, and float32 from there on.

    bfloat16 has eight bits of precision: of a logit of 20 that leaves ±0.04. So the projection to the vocabulary keeps
    its float32 weights and reads the states as float32; log-sums, directors and heads are float32 as they were.

    Args:
        method: Whose `writer` is in float32; left as it is.
    """
    half = copy.deepcopy(method)
    lm: Any = half.writer.lm  # type: ignore[union-attr]
    project: Any = lm.get_output_embeddings()
    if project.weight is lm.get_input_embeddings().weight:
        # One tensor serves as both: the head gets its own, since the embeddings decide what the states are.
        project.weight = nn.Parameter(project.weight.detach().clone(), requires_grad=False)
    kept = set(project.modules())
    for module in lm.modules():
        if module not in kept:
            for parameter in module.parameters(recurse=False):
                parameter.data = _narrow(parameter.data)
            for name, buffer in module.named_buffers(recurse=False):
                # Rotary frequencies are float32 in models loaded as bfloat16 too.
                if buffer is not None and "inv_freq" not in name:
                    setattr(module, name, _narrow(buffer))
    project.register_forward_pre_hook(_as_float32)
    return half


def _narrow(tensor: Tensor) -> Tensor:
    return tensor.to(torch.bfloat16) if tensor.dtype == torch.float32 else tensor


def _as_float32(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (inputs[0].float(), *inputs[1:])
