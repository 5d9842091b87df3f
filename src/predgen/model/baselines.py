"""What PredGen is compared with: the Predictor and the Generator, with the same output types."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from predgen.config import Pooling, Task
from predgen.decoding.decode import Decoded
from predgen.model.history import gold_history
from predgen.model.method import Method, WritingMethod
from predgen.model.outputs import Scores, StepOutput
from predgen.model.pooling import Head, build_pool
from predgen.model.prefix import Prefix
from predgen.model.scale import Scale
from predgen.model.shared_head import SharedHead, read_behind, read_head
from predgen.model.writer import Writer


class Generator(WritingMethod):
    """Plain fine-tuning on the answer tokens (teacher forcing); the answer is read off the exact posterior.

    Args:
        writer: The adapted language model.
        table: The answer space under its tokenizer.
        writer_loss: L_W.
    """

    def learn(
        self,
        prompt: Prefix,
        answer_index: Tensor,
        target: Tensor,
        row_ids: Tensor,
        weight: Tensor,
        step: int,
    ) -> StepOutput:
        """One training pass behind B prompts; see `Method.learn` for the arguments."""
        gold = gold_history(self.table, answer_index)
        written = self.writer.extend(prompt, gold.ids, gold.mask)
        losses = self.writer_loss(written, gold, self.table, prompt)
        return StepOutput((weight * losses.rows).mean(), losses.rows, None, None, None)

    def conclude(self, prompt: Prefix, decoded: Decoded) -> Scores:
        """The writer's exact posterior, or its number."""
        return decoded.scores


class ReadPrompt(NamedTuple):
    """B prompts as a head reads them."""

    states: Tensor  # (B, P, d); the writer's last hidden states
    mask: Tensor  # (B, P); 1 on real tokens


class Predictor(Method[ReadPrompt]):
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
        super().__init__(writer)
        self.task = task
        self.pool = build_pool(pooling, writer.hidden_size)
        self.output = Head(writer.hidden_size, outputs)
        self.scale = scale or Scale()

    def read(
        self, prompt_ids: Tensor, prompt_mask: Tensor, to_learn: bool = False, head: SharedHead | None = None
    ) -> ReadPrompt:
        """The prompts' states, the shared head's included, without the vocabulary projection."""
        return ReadPrompt(*read_behind(self.writer, head, prompt_ids, prompt_mask))

    def share(self, ids: Tensor) -> SharedHead | None:
        """As `Method.share`."""
        return read_head(self.writer, ids) if self.writer.keeps_prompts else None

    @property
    def learns_behind_heads(self) -> bool:
        """As `Method.learns_behind_heads`."""
        return self.writer.learns_behind_heads

    def behind(self, prompt: ReadPrompt, cue: Tensor) -> ReadPrompt:
        """The prompts as they are: a head reads them alone, whatever it is to say of them."""
        return prompt

    def learn(
        self,
        prompt: ReadPrompt,
        answer_index: Tensor,
        target: Tensor,
        row_ids: Tensor,
        weight: Tensor,
        step: int,
    ) -> StepOutput:
        """One training pass; see `Method.learn` for the arguments."""
        output = self._output(prompt)
        if self.task == "classification":
            loss = functional.cross_entropy(output, answer_index, reduction="none")
        else:
            loss = (output[:, 0] - self.scale.standardise(target)).square()
        return StepOutput((weight * loss).mean(), None, loss, None, None)

    def _output(self, prompt: ReadPrompt) -> Tensor:
        output: Tensor = self.output(self.pool(prompt.states, prompt.mask))
        return output

    def features(self, prompt: ReadPrompt) -> Tensor:
        """(B, d): what the head's linear layer reads."""
        return self.output.features(self.pool(prompt.states, prompt.mask))

    @torch.no_grad()
    def judge(self, prompt: ReadPrompt) -> Scores:
        """The head's class logits or number; there is no posterior over written answers."""
        return self.scores_of(self._output(prompt))

    def scores_of(self, output: Tensor) -> Scores:
        """(B, outputs) of the head, as scores."""
        if self.task == "classification":
            return Scores.nothing()._replace(class_logits=output)
        return Scores.nothing()._replace(value=self.scale.restore(output[:, 0]))

    def write(self, prompt: ReadPrompt) -> None:
        """None: a head writes nothing."""
        return None
