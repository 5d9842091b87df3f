"""Many prompts, read some at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from predgen.data.batches import pad_prompts


@torch.no_grad()
def in_passes(
    module: nn.Module,
    prompts: Sequence[Sequence[int]],
    batch_size: int,
    device: torch.device,
    read: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """What a module in eval mode makes of prompts, without its gradient; those of like length share a pass.

    Args:
        module: Left in the mode that it was in.
        prompts: N prompts' tokens.
        batch_size: Prompts of a pass.
        device: Where they are read.
        read: Padded ids and mask, (B, P) each → (B, …).

    Returns:
        (N, …), in the prompts' order.
    """
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    training, found = module.training, list[Tensor]()
    module.eval()
    for start in range(0, len(order), batch_size):
        batch = pad_prompts([prompts[row] for row in order[start : start + batch_size]])
        found.append(read(batch.prompt_ids.to(device), batch.prompt_mask.to(device)))
    module.train(training)
    return torch.cat(found)[torch.tensor(order, device=device).argsort()]
