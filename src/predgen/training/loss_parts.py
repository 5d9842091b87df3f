"""What a log shows of the joint loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from predgen.model.outputs import StepOutput


def loss_parts(window: Sequence[StepOutput]) -> dict[str, float]:
    """Means over the rows of some passes: L_W, L_D apart for gold and own histories, and the share of own tokens.

    Args:
        window: What the passes since the last log gave.
    """
    parts: dict[str, float] = {}
    writer = [output.writer_loss for output in window if output.writer_loss is not None]
    if writer:
        parts["writer_loss"] = torch.cat(writer).mean().item()
    director = [output.director_loss for output in window if output.director_loss is not None]
    if director:
        losses = torch.cat(director)
        histories = [output.own_history for output in window if output.own_history is not None]
        # A head that reads the prompt has no history; its loss stands where a gold history's would.
        own = torch.cat(histories) if histories else torch.zeros_like(losses, dtype=torch.bool)
        for name, chosen in (("director_loss_gold", ~own), ("director_loss_own", own)):
            if chosen.any():
                parts[name] = losses[chosen].mean().item()
    probabilities = [output.sampling_probability for output in window if output.sampling_probability is not None]
    if probabilities:
        parts["sampling_probability"] = sum(probabilities) / len(probabilities)
    return parts
