"""The types that every method shares, so that nothing after it asks which method it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from predgen.decoding.support import Support


class StepOutput(NamedTuple):
    """One forward pass in training; B rows."""

    loss: Tensor  # (); what is differentiated
    writer_loss: Tensor | None  # (B,); mean cross-entropy of the answer tokens, or None without a writer loss
    director_loss: Tensor | None  # (B,); or None without a director (or head)
    own_history: Tensor | None  # (B,) bool; rows whose whole history was the model's own, or None without histories
    sampling_probability: float | None  # p of this step, or None where nothing is sampled

    def detached(self) -> StepOutput:
        """The same values without the graph, to be kept for a log."""
        return StepOutput(
            self.loss.detach(),
            None if self.writer_loss is None else self.writer_loss.detach(),
            None if self.director_loss is None else self.director_loss.detach(),
            self.own_history,
            self.sampling_probability,
        )

    def cpu(self) -> StepOutput:
        """The same on the processor."""
        return StepOutput(*(value.cpu() if isinstance(value, Tensor) else value for value in self))  # type: ignore[arg-type]


class Scores(NamedTuple):
    """What a method says of B prompts, from the prompts alone; A answers in the space."""

    log_posterior: Tensor | None  # (B, A); over the space, or None without a writer; of labels that were searched for,
    # what was not found shares evenly in what its beginnings hold
    log_mass: Tensor | None  # (B,); log-probability of the whole space under the plain language model
    greedy: Tensor | None  # (B,) int64; answer index of the constrained greedy path
    class_logits: Tensor | None  # (B, A); of a director or pooled head, for classes
    value: Tensor | None  # (B,); of a director or pooled head, for numbers, in the target's own units
    number: Tensor | None  # (B,) float64; the number written greedily, where the space cannot be listed
    written: Tensor | None  # (B, L) int64; its answer's tokens, -1 behind the end
    mixed_logits: Tensor | None  # (B, A); writer and director together, as dev rows weigh them, for classes
    mixed_value: Tensor | None  # (B,); the same for numbers
    support: Support | None = None  # numbers that were searched for, or drawn, in place of a posterior over all
    covered: Tensor | None = None  # (B,) float64; the least share of the space's probability that a search has found

    @staticmethod
    def nothing() -> Scores:
        """No score of any kind, to be filled in."""
        return Scores(*(None for _ in Scores._fields))

    @staticmethod
    def joined(parts: Sequence[Scores]) -> Scores:
        """The rows of several, one behind the other; all hold the same kinds of scores."""
        columns: dict[str, Any] = {}
        for name in Scores._fields:
            column = [part._asdict()[name] for part in parts]
            if column[0] is not None:
                columns[name] = Support.joined(column) if isinstance(column[0], Support) else torch.cat(column)
        return Scores.nothing()._replace(**columns)

    def any_nan(self) -> bool:
        """Whether anything in them is no number."""
        columns = [column.log_probs if isinstance(column, Support) else column for column in self if column is not None]
        return any(bool(column.isnan().any()) for column in columns)

    def cpu(self) -> Scores:
        """The same on the processor."""
        columns: dict[str, Any] = self._asdict()
        return Scores(**{name: None if column is None else column.cpu() for name, column in columns.items()})
