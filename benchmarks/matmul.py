"""How near a step comes to the machine: operations counted, and the rate at which it multiplies large matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

SIZE = {"cpu": 2048, "cuda": 8192}


def count_operations(run: Callable[[], Tensor]) -> tuple[int, Tensor]:
    """Floating-point operations of matrix products and attention in one run, and what it returned.

    As torch counts them, plus attention on the processor, which it leaves out; masked pairs of tokens count as well.
    """
    ops = torch.ops.aten
    on_processor = {
        ops._scaled_dot_product_flash_attention_for_cpu: _attention,
        ops._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=on_processor) as counter:
        result = run()
    return int(counter.get_total_flops()), result


def multiplication(dtype: torch.dtype, device: str) -> tuple[Callable[[], Tensor], int]:
    """One product of two large square matrices, and how many operations it is."""
    size = SIZE[device]
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(size, size, generator=generator).to(device, dtype) for _ in range(2))
    into = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=into), 2 * size**3


def _attention(query: Any, key: Any, value: Any, *rest: Any, out_shape: Any = None, **named: Any) -> int:
    """QKᵀ and the product with V, of the query's heads: (batch, heads, tokens, head size) each."""
    batch, heads, tokens, size = query
    return int(2 * batch * heads * tokens * key[2] * (size + value[3]))


def _attention_backward(
    gradient: Any, query: Any, key: Any, value: Any, *rest: Any, out_shape: Any = None, **named: Any
) -> int:
    """Scores anew, and the gradients of scores, V, Q and K."""
    batch, heads, tokens, size = query
    return int(2 * batch * heads * tokens * key[2] * (3 * size + 2 * value[3]))
