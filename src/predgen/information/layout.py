"""Tokens of rows of different lengths → slots that every row has, so that an estimator can read them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from predgen.errors import ConfigError


@dataclass(frozen=True)
class Layout:
    """The last tokens of the prompt, which have read all of it, and the first of the model's own answer.

    Each slot is reduced by principal components of its own; a slot that a row lacks (an answer that is shorter) is 0,
    the mean. Concatenated, they are the representation: slots × components numbers a row.

    Args:
        prompt_tokens: How many, the last one right before the answer.
        answer_tokens: How many, from the first on.

    Raises:
        ConfigError: If there is no slot.
    """

    prompt_tokens: int = 4
    answer_tokens: int = 4

    def __post_init__(self) -> None:
        if self.prompt_tokens < 0 or self.answer_tokens < 0 or not self.slots:
            raise ConfigError(
                f"A layout of {self.prompt_tokens} prompt and {self.answer_tokens} answer tokens cannot be had.",
                "Expected at least one token.",
            )

    @property
    def slots(self) -> int:
        """How many tokens in all."""
        return self.prompt_tokens + self.answer_tokens

    def __str__(self) -> str:
        return f"the prompt's last {self.prompt_tokens} and the own answer's first {self.answer_tokens} tokens"

    def take(self, prompt: Tensor, prompt_mask: Tensor, answer: Tensor, answer_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Fills the slots.

        Args:
            prompt: (B, P, d), padded on the left.
            prompt_mask: (B, P).
            answer: (B, T, d), padded on the right.
            answer_mask: (B, T).

        Returns:
            (B, slots, d), zeros where a row has no such token; and (B, slots) bool, true where it has.
        """
        states = torch.cat([_fill_left(prompt, self.prompt_tokens), _fill_right(answer, self.answer_tokens)], dim=1)
        real = torch.cat(
            [
                _fill_left(prompt_mask.bool()[..., None], self.prompt_tokens),
                _fill_right(answer_mask.bool()[..., None], self.answer_tokens),
            ],
            dim=1,
        )[..., 0]
        return states * real[..., None], real


def _fill_left(part: Tensor, width: int) -> Tensor:
    kept = part[:, part.shape[1] - min(width, part.shape[1]) :]
    return torch.nn.functional.pad(kept, (0, 0, width - kept.shape[1], 0))


def _fill_right(part: Tensor, width: int) -> Tensor:
    kept = part[:, :width]
    return torch.nn.functional.pad(kept, (0, 0, 0, width - kept.shape[1]))
