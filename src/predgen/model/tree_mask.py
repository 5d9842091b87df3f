"""Who sees whom when the nodes of a tree are read behind a prompt in one pass (tree attention)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LayerWindows = dict[str, int | None]


def layer_windows(config: Any) -> LayerWindows | int | None:
    """How far back the layers of a model see, in tokens, their own included; None: to the start.

    Args:
        config: A transformers text config.

    Returns:
        One number for all layers; or, where full and sliding layers alternate (Gemma-2, some Qwen), one a layer type:
        such models take a mask a type, the others one mask.
    """
    window = getattr(config, "sliding_window", None)
    types = set(getattr(config, "layer_types", None) or ())
    if "sliding_attention" in types:
        return {name: window if name == "sliding_attention" else None for name in sorted(types)}
    # Models that list no layer types slide on all layers as soon as a window is set (Mistral).
    return window if window is not None and not types else None


def tree_bias(
    prompt_mask: Tensor,
    depth: Tensor,
    sees: Tensor,
    dtype: torch.dtype,
    windows: LayerWindows | int | None,
    with_prompt: bool,
    cached: int = 0,
) -> Tensor | dict[str, Tensor]:
    """The attention bias of Q queries among M nodes, their last ones, behind S prompt columns.

    It is 0 where a query may look, and the lowest number elsewhere.

    Args:
        prompt_mask: (B, S), nonzero on real tokens.
        depth: (M,) or (B, M), 1 right behind the prompt.
        sees: (Q, M) or (B, Q, M) bool; query i attends to node j.
        dtype: Of the model's states.
        windows: As `layer_windows` gives them.
        with_prompt: Whether the prompt's own tokens are queries too, since no cache holds them; then Q is M.
        cached: Of the prompt's columns, how many in front a cache does hold.

    Returns:
        (B, 1, Q or S − cached + M, S + M), or one a layer type.
    """
    real = prompt_mask.bool()
    rows, columns, nodes = real.shape[0], real.shape[1], depth.shape[-1]
    asked = sees.shape[-2]
    lengths = real.sum(dim=1, keepdim=True)
    positions = torch.cat([real.cumsum(dim=1) - 1, lengths + depth - 1], dim=1)  # (B, S + M)
    allowed = torch.cat([real[:, None].expand(rows, asked, -1), sees.expand(rows, asked, nodes)], dim=2)
    queries = positions[:, columns + nodes - asked :]
    if with_prompt:
        causal = torch.ones(columns, columns, dtype=torch.bool, device=real.device).tril()
        # Padding looks at itself: a query that sees nothing would be NaN.
        own = torch.eye(columns, dtype=torch.bool, device=real.device)
        prompt = ((causal & real[:, None]) | own)[:, cached:]
        allowed = torch.cat([torch.nn.functional.pad(prompt, (0, nodes)), allowed], dim=1)
        queries = positions[:, cached:]

    distance = queries[:, :, None] - positions[:, None, :]
    return blank_where_unseen(allowed, distance, dtype, windows)


def blank_where_unseen(
    allowed: Tensor, distance: Tensor, dtype: torch.dtype, windows: LayerWindows | int | None
) -> Tensor | dict[str, Tensor]:
    """The bias of an attention: 0 where a query may look, the lowest number elsewhere.

    Args:
        allowed: (B, Q, C) bool, whatever the layers' windows.
        distance: (B, Q, C); how many tokens lie between query and column.
        dtype: Of the model's states.
        windows: As `layer_windows` gives them.

    Returns:
        (B, 1, Q, C), or one a layer type.
    """

    def bias(window: int | None) -> Tensor:
        seen = allowed if window is None else allowed & (distance < window)
        blank = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return blank.masked_fill(~seen, torch.finfo(dtype).min)[:, None]

    if isinstance(windows, dict):
        return {name: bias(window) for name, window in windows.items()}
    return bias(windows)
