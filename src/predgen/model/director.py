"""Directors: task adapters that read what the writer wrote (section 4, appendix D)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from predgen.model.losses import masked_mean


class Reading(NamedTuple):
    """What a director is given in training: the answer that really was in the history, and how gold scored there."""

    states: Tensor  # (B, T, d); the writer's states of the answer tokens
    mask: Tensor  # (B, T) bool; real tokens
    token_losses: Tensor  # (B, T + 1); the writer's cross-entropy of the gold tokens, shifted
    token_weights: Tensor  # (B, T + 1); place weights, 0 where there is no target


class Director(Protocol):
    """A task adapter; all are `nn.Module`s besides."""

    def loss(self, reading: Reading, answer_index: Tensor, target: Tensor) -> Tensor:
        """L_D of each row, (B,), non-negative."""
        ...

    def class_logits(self, states: Tensor, mask: Tensor) -> Tensor | None:
        """(B, K) logits of the classes, or None where it reads numbers."""
        ...

    def value(self, states: Tensor, mask: Tensor) -> Tensor | None:
        """(B,) numbers in the target's units, or None where it reads classes, or nothing of its own."""
        ...


class Head(nn.Module):
    """A linear layer on a pooled state that is brought to zero mean and unit variance first; it starts at zero.

    At a language model's own scale (SmolLM2's states: norm 47, single features beyond 20) one optimizer step moves a
    head's output by a standard deviation of the target, and its gradient drowns the writer's in the clipped norm.

    Args:
        hidden_size: d.
        outputs: How many numbers it gives.
    """

    def __init__(self, hidden_size: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, outputs)
        # From zero, every row starts at even odds or at the target's mean, and the first loss is a known number.
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, d) → (B, outputs)."""
        output: Tensor = self.linear(functional.layer_norm(pooled, pooled.shape[-1:]))
        return output


def mean_state(states: Tensor, mask: Tensor) -> Tensor:
    """The mean of the real tokens' states, in float32 at least: (B, T, d), (B, T) → (B, d)."""
    wide = states if states.dtype == torch.float64 else states.float()
    weights = mask.to(wide.dtype)[:, :, None]
    return (wide * weights).sum(dim=1) / weights.sum(dim=1).clamp_min(1.0)


class ClassDirector(nn.Module):
    """softmax(W · h + b), h the mean of the answer's states; cross-entropy (D.1).

    Args:
        hidden_size: d.
        classes: K.
    """

    def __init__(self, hidden_size: int, classes: int) -> None:
        super().__init__()
        self.output = Head(hidden_size, classes)

    def class_logits(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, K) logits."""
        logits: Tensor = self.output(mean_state(states, mask))
        return logits

    def value(self, states: Tensor, mask: Tensor) -> None:
        """None: it reads classes."""
        return None

    def loss(self, reading: Reading, answer_index: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the gold class, (B,)."""
        logits = self.class_logits(reading.states, reading.mask)
        return functional.cross_entropy(logits, answer_index, reduction="none")


class ValueDirector(nn.Module):
    """A linear head on the mean of the answer's states; squared error of the standardised target (section 4).

    D.3 of the paper would keep squared error away from the writer's cross-entropy; measured, it does well beside it.

    Args:
        hidden_size: d.
        mean: The training targets' mean.
        spread: Their standard deviation, positive.
    """

    def __init__(self, hidden_size: int, mean: float, spread: float) -> None:
        super().__init__()
        self.output = Head(hidden_size, 1)
        self.mean, self.spread = mean, spread

    def class_logits(self, states: Tensor, mask: Tensor) -> None:
        """None: it reads numbers."""
        return None

    def _standardised(self, states: Tensor, mask: Tensor) -> Tensor:
        output: Tensor = self.output(mean_state(states, mask))
        return output[:, 0]

    def value(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B,) numbers in the target's units."""
        return self._standardised(states, mask) * self.spread + self.mean

    def loss(self, reading: Reading, answer_index: Tensor, target: Tensor) -> Tensor:
        """Squared error in standard deviations of the target, (B,)."""
        wanted = (target - self.mean) / self.spread
        return (self._standardised(reading.states, reading.mask) - wanted).square()


class OrderedPenalty(nn.Module):
    """Σ_i w_i · CE(y_i) / Σ_i w_i: the writer's own token losses, leading places weighing more (D.2).

    Ours is shifted (the logits that predict y_i) and weighs by place value; the released code takes the logits at y_i,
    which under gold history only copies, and weighs by token index, almost flat. It has no parameters and nothing to
    read at inference: the answer is the writer's.
    """

    def class_logits(self, states: Tensor, mask: Tensor) -> None:
        """None: it reads numbers."""
        return None

    def value(self, states: Tensor, mask: Tensor) -> None:
        """None: the number is the one the writer wrote."""
        return None

    def loss(self, reading: Reading, answer_index: Tensor, target: Tensor) -> Tensor:
        """The weighted mean of the token losses, in nats, (B,)."""
        return masked_mean(reading.token_losses, reading.token_weights)
