"""bfloat16 where it is fast and does no harm: precision by part of the language model, to predict and to train.

| part | precision | why |
| --- | --- | --- |
| layers' matrix products | bfloat16 | most of the time; twice as fast or more where the processor has it |
| attention, on a CPU | float32 | torch's backward pass of it is several times slower in bfloat16 there |
| projection to the vocabulary | float32 | eight bits leave ±0.04 of a logit of 20 |
| what learns (adapters, heads) and its optimizer | float32, cast for each product | small steps would be rounded away |
| log-sums, directors, losses | float32 | sums over a large vocabulary |
"""

from __future__ import annotations

import contextlib
import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

M = TypeVar("M", bound=nn.Module)
_ATTENTION = "sdpa_in_float32"  # our name for it in transformers' registry


def in_bfloat16(method: M) -> M:
    """A copy whose language model is bfloat16 up to its last states, and float32 from there on.

    bfloat16 has eight bits of precision: of a logit of 20 that leaves ±0.04. So the projection to the vocabulary keeps
    its float32 weights and reads the states as float32; log-sums, directors and heads are float32 as they were.

    Args:
        method: Whose `writer` is in float32; left as it is.
    """
    half = copy.deepcopy(method)
    lm: Any = half.writer.lm  # type: ignore[union-attr]
    project = _project_in_float32(lm)
    kept = set(project.modules())
    for module in lm.modules():
        if module not in kept:
            for parameter in module.parameters(recurse=False):
                parameter.data = _narrow(parameter.data)
            for name, buffer in module.named_buffers(recurse=False):
                # Rotary frequencies are float32 in models loaded as bfloat16 too.
                if buffer is not None and "inv_freq" not in name:
                    setattr(module, name, _narrow(buffer))
    attend_in_float32(lm)
    return half


def train_by_parts(lm: Any) -> None:
    """Has a bfloat16 base with a float32 adapter compute each part in the precision it should have.

    Left alone, peft casts every layer's input to the adapter's float32 and the result back, which takes longer than
    the products that bfloat16 speeds up.

    Args:
        lm: The adapted model; changed in place.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in lm.modules():
        if isinstance(module, BaseTunerLayer):
            # Autocast casts the adapter's small weights instead.
            module.cast_input_dtype_enabled = False  # type: ignore[attr-defined]
    cast = _Autocast()
    decoder: Any = lm.get_decoder()
    decoder.register_forward_pre_hook(cast.enter)
    decoder.register_forward_hook(cast.leave, always_call=True)
    _project_in_float32(lm)
    attend_in_float32(lm)


class _Autocast:
    """Computes a module's products in bfloat16, whatever their factors' precision; hooks for before and after it."""

    def __init__(self) -> None:
        self._open: list[contextlib.AbstractContextManager[Any]] = []

    def enter(self, module: nn.Module, inputs: Any) -> None:
        device = next(module.parameters()).device.type
        self._open.append(torch.autocast(device, torch.bfloat16))
        self._open[-1].__enter__()

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._open.pop().__exit__(None, None, None)


def attend_in_float32(lm: Any) -> None:
    """Has a model's attention computed in float32 on a CPU, where it goes through torch's fused kernel."""
    if lm.config.get_text_config()._attn_implementation == "sdpa":
        base = lm.get_base_model() if hasattr(lm, "get_base_model") else lm
        base.set_attn_implementation(_ATTENTION)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    """What transformers has, of float32 copies where it runs on a CPU."""
    if query.device.type != "cpu":
        attended, nothing = sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
        return attended, nothing
    wide = None if attention_mask is None or attention_mask.dtype == torch.bool else attention_mask.float()
    with torch.autocast("cpu", enabled=False):
        attended, nothing = sdpa_attention_forward(
            module,
            query.float(),
            key.float(),
            value.float(),
            attention_mask if wide is None else wide,
            **settings,
        )
    return attended.to(query.dtype), nothing


AttentionInterface.register(_ATTENTION, _attention)
AttentionMaskInterface.register(_ATTENTION, sdpa_mask)


def _project_in_float32(lm: Any) -> Any:
    """Gives the projection to the vocabulary float32 weights and inputs; the embeddings stay as they are."""
    project: Any = lm.get_output_embeddings()
    linear: Any = project.get_base_layer() if hasattr(project, "get_base_layer") else project
    # One tensor often serves as both: the head gets its own, since the embeddings decide what the states are.
    linear.weight = nn.Parameter(linear.weight.detach().float().clone(), requires_grad=False)
    if getattr(linear, "bias", None) is not None:
        linear.bias = nn.Parameter(linear.bias.detach().float(), requires_grad=False)
    project.register_forward_pre_hook(_as_float32)
    return project


def _narrow(tensor: Tensor) -> Tensor:
    return tensor.to(torch.bfloat16) if tensor.dtype == torch.float32 else tensor


def _as_float32(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (inputs[0].float(), *inputs[1:])
