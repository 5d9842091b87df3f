"""What PredGen is compared with: the Predictor and the Generator, with the same output types."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from predgen.answers.build import Table
from predgen.config import Pooling, Task
from predgen.decoding.decode import decode
from predgen.decoding.generate import generate_freely
from predgen.model.history import gold_history
from predgen.model.outputs import Scores, StepOutput
from predgen.model.pooling import Head, build_pool
from predgen.model.scale import Scale
from predgen.model.writer import Writer
from predgen.model.writer_loss import WriterLoss


class Generator(nn.Module):
    """Plain fine-tuning on the answer tokens (teacher forcing); the answer is read off the exact posterior.

    Args:
        writer: The adapted language model.
        table: The answer space under its tokenizer.
        writer_loss: L_W.
    """

    reader_name: str | None = None

    def __init__(self, writer: Writer, table: Table, writer_loss: WriterLoss) -> None:
        super().__init__()
        self.writer, self.table, self.writer_loss = writer, table, writer_loss

    def forward(
        self,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        answer_index: Tensor,
        target: Tensor,
        row_ids: Tensor,
        weight: Tensor,
        step: int,
    ) -> StepOutput:
        """One training pass; see `PredGen.forward` for the arguments."""
        prefix = self.writer.prefill(prompt_ids, prompt_mask, all_logits=self.writer_loss.reads_prompt)
        gold = gold_history(self.table, answer_index)
        written = self.writer.extend(prefix, gold.ids, gold.mask)
        losses = self.writer_loss(written, gold, self.table, prefix)
        return StepOutput((weight * losses.rows).mean(), losses.rows, None, None, None)

    @torch.no_grad()
    def score(self, prompt_ids: Tensor, prompt_mask: Tensor) -> Scores:
        """The writer's exact posterior, or its number; see `PredGen.score`."""
        prefix = self.writer.prefill(prompt_ids, prompt_mask)
        return decode(self.writer, prefix, self.table, self.writer_loss.normalise).scores

    def write_freely(self, prompt_ids: Tensor, prompt_mask: Tensor) -> list[list[int]]:
        """Greedy text over the whole vocabulary, as token ids; a diagnosis, never a prediction."""
        return generate_freely(self.writer, self.writer.prefill(prompt_ids, prompt_mask), self.table)


class Predictor(nn.Module):
    """A linear head on the pooled prompt states: cross-entropy, or squared error of the standardised target.

    Args:
        writer: The adapted language model; here it only reads.
        task: Which of the two losses.
        outputs: Classes; 1 for numbers.
        pooling: "first", "last", "mean" or "attention".
        scale: Of the training targets; unused for classes.
    """

    reader_name: str | None = "head"

    def __init__(self, writer: Writer, task: Task, outputs: int, pooling: Pooling, scale: Scale | None = None) -> None:
        super().__init__()
        self.writer, self.task = writer, task
        self.pool = build_pool(pooling, writer.hidden_size)
        self.output = Head(writer.hidden_size, outputs)
        self.scale = scale or Scale()

    def forward(
        self,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        answer_index: Tensor,
        target: Tensor,
        row_ids: Tensor,
        weight: Tensor,
        step: int,
    ) -> StepOutput:
        """One training pass; see `PredGen.forward` for the arguments."""
        output = self._read(prompt_ids, prompt_mask)
        if self.task == "classification":
            loss = functional.cross_entropy(output, answer_index, reduction="none")
        else:
            loss = (output[:, 0] - self.scale.standardise(target)).square()
        return StepOutput((weight * loss).mean(), None, loss, None, None)

    def _read(self, prompt_ids: Tensor, prompt_mask: Tensor) -> Tensor:
        pooled = self.pool(self.writer.read(prompt_ids, prompt_mask), prompt_mask)
        output: Tensor = self.output(pooled)
        return output

    @torch.no_grad()
    def score(self, prompt_ids: Tensor, prompt_mask: Tensor) -> Scores:
        """The head's class logits or number; there is no posterior over written answers."""
        output = self._read(prompt_ids, prompt_mask)
        if self.task == "classification":
            return Scores.nothing()._replace(class_logits=output)
        return Scores.nothing()._replace(value=self.scale.restore(output[:, 0]))

    def write_freely(self, prompt_ids: Tensor, prompt_mask: Tensor) -> None:
        """None: a head writes nothing."""
        return None
