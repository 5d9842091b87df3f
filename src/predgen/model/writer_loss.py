"""L_W: how the writer's tokens are scored against gold's (section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from predgen.answers.build import Table
from predgen.answers.tables import AnswerTable
from predgen.config import Normalise
from predgen.model.history import History
from predgen.model.losses import masked_mean, token_losses
from predgen.model.prefix import Prefix, Written


class WriterLosses(NamedTuple):
    """The writer's losses, in nats."""

    rows: Tensor  # (B,); means over each row's targets
    tokens: Tensor  # (B, T + 1); of each answer token, where there is a target or not


@dataclass(frozen=True)
class WriterLoss:
    """L_W = −(1/m) Σ_t log p(y_t | x, ỹ_<t).

    Args:
        normalise: Over the vocabulary, or over the tokens that the trie allows behind the history shown.
        reads_prompt: Whether the prompt's tokens count as well, each as much as an answer token. The released code does
            so, and counts the answer's padding too, which is left out here: it makes a row's loss depend on its batch.
    """

    normalise: Normalise = "vocabulary"
    reads_prompt: bool = False

    def __call__(self, written: Written, history: History, table: Table, prefix: Prefix) -> WriterLosses:
        """Scores one batch.

        Args:
            written: The history, read behind the prompts; with the prompts' logits where `reads_prompt`.
            history: What was shown.
            table: The answer space.
            prefix: The prompts.
        """
        tokens = self.of_tokens(written.logits, history, table)
        if not self.reads_prompt or written.prompt_logits is None:
            return WriterLosses(masked_mean(tokens, history.target_mask), tokens)
        # The first real token has nothing before it that could predict it, and padding predicts nothing.
        shown, last = prefix.ids[:, 1:], written.prompt_logits.shape[-1] - 1
        prompt = token_losses(written.prompt_logits[:, :-1], shown.clamp(max=last))
        # Virtual tokens have ids beyond the vocabulary: they are no text, and nothing is to predict them.
        counted = (prefix.mask[:, :-1] * prefix.mask[:, 1:]).bool() & (shown <= last)
        both = torch.cat([prompt, tokens], dim=1)
        return WriterLosses(masked_mean(both, torch.cat([counted, history.target_mask], dim=1)), tokens)

    def of_tokens(self, logits: Tensor, history: History, table: Table) -> Tensor:
        """(B, T + 1) losses of the answer's tokens, where there is a target or not.

        Args:
            logits: (B, T + 1, V); column t predicts target t.
            history: What was shown.
            table: The answer space.
        """
        allowed = None
        # Spaces that cannot be listed are refused with it before.
        if self.normalise == "space" and history.nodes is not None and isinstance(table, AnswerTable):
            allowed = table.allowed(history.nodes)
        return token_losses(logits, history.targets, allowed)
