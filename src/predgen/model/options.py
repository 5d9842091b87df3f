"""A generator that writes one of the row's own options."""

from __future__ import annotations

import torch
from torch import Tensor

from predgen.answers.option_table import OptionTable
from predgen.decoding.continuations import OptionBatch, score_options
from predgen.errors import ModelError
from predgen.model.baselines import Generator
from predgen.model.outputs import Scores
from predgen.model.shared_head import SharedHead
from predgen.model.writer import Writer
from predgen.model.writer_loss import WriterLoss


class OptionGenerator(Generator):
    """Plain fine-tuning on the gold option's tokens; the answer is the option that is likeliest behind the prompt.

    Args:
        writer: The adapted language model.
        table: The training rows' gold options.
        writer_loss: L_W.
        per_token: As `score_options` takes it.
    """

    table: OptionTable

    def __init__(self, writer: Writer, table: OptionTable, writer_loss: WriterLoss, per_token: bool) -> None:
        super().__init__(writer, table, writer_loss)
        self.per_token = per_token

    @torch.no_grad()
    def answers(
        self,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        head: SharedHead | None = None,
        options: OptionBatch | None = None,
    ) -> tuple[Scores, ...]:
        """Scores each row's options behind its prompt.

        Args:
            prompt_ids: As `read` takes it.
            prompt_mask: As `read` takes it.
            head: As `read` takes it.
            options: Of the same rows.

        Raises:
            ModelError: If there are none: unlike other methods this one cannot answer a prompt alone.
        """
        if options is None:
            raise ModelError(
                "This run answers with one of the row's own options, and none were given with the prompts.",
                "Rows need the columns that data.options names.",
            )
        prefix = self.read(prompt_ids, prompt_mask, head=head)
        return (score_options(self.writer, prefix, options, self.table.terminator, self.per_token),)

    def score(self, prompt_ids: Tensor, prompt_mask: Tensor, head: SharedHead | None = None) -> Scores:
        """As `answers` says of prompts alone."""
        return self.answers(prompt_ids, prompt_mask, head)[0]

    def write_freely(self, prompt_ids: Tensor, prompt_mask: Tensor) -> None:
        """None: the label that is predicted is never written itself."""
        return None
