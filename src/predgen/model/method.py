"""What the three methods share: prompts are read once, and then learned from, scored, or written behind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from predgen.answers.build import Table
from predgen.answers.tables import AnswerTable
from predgen.decoding.decode import Decoded, decode, read_and_decode
from predgen.decoding.generate import generate_freely
from predgen.model.outputs import Scores, StepOutput
from predgen.model.prefix import Prefix
from predgen.model.shared_head import SharedHead, prefill_behind, read_head
from predgen.model.writer import Writer
from predgen.model.writer_loss import WriterLoss

P = TypeVar("P")  # prompts as a method reads them


class Method(nn.Module, ABC, Generic[P]):
    """A way to answer prompts; the trainer and the prediction path know no more of it.

    Args:
        writer: The adapted language model.
    """

    reader_name: str | None  # what its own decision is called: "director", "head", or None where it has none

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self.writer = writer

    @abstractmethod
    def read(
        self, prompt_ids: Tensor, prompt_mask: Tensor, to_learn: bool = False, head: SharedHead | None = None
    ) -> P:
        """Reads prompts of B rows, with their gradient.

        Args:
            prompt_ids: (B, P), padded on the left.
            prompt_mask: (B, P).
            to_learn: Whether `learn` comes next, whose loss may count the prompt's own tokens.
            head: What all prompts begin with, where `share` has read it; `prompt_ids` go on behind it.
        """

    def share(self, ids: Tensor) -> SharedHead | None:
        """Reads what all prompts begin with, (H,) tokens, once for all; None where each prompt is read whole."""
        return None

    @property
    def learns_behind_heads(self) -> bool:
        """Whether `share` serves in training too, where the head is read anew in each pass, with its gradient."""
        return False

    @abstractmethod
    def behind(self, prompt: P, cue: Tensor) -> P:
        """The prompts with more text behind them.

        Args:
            prompt: Of B rows.
            cue: (T,) tokens, the same for all rows.
        """

    @abstractmethod
    def learn(
        self, prompt: P, answer_index: Tensor, target: Tensor, row_ids: Tensor, weight: Tensor, step: int
    ) -> StepOutput:
        """One training pass behind B prompts.

        Args:
            prompt: What `read` returned.
            answer_index: (B,) gold answers.
            target: (B,) gold numbers or class indices.
            row_ids: (B,) keys of the coins.
            weight: (B,) what each row's loss counts, 1 on average over the training rows.
            step: Optimizer steps taken so far; s of the schedule.
        """

    @abstractmethod
    def judge(self, prompt: P) -> Scores:
        """Everything it can say of prompts; nothing of the answer goes in."""

    @abstractmethod
    def write(self, prompt: P) -> list[list[int]] | None:
        """Greedy token ids with nothing held to the space, or None where nothing is written."""

    def forward(
        self,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        answer_index: Tensor,
        target: Tensor,
        row_ids: Tensor,
        weight: Tensor,
        step: int,
        head_ids: Tensor | None = None,
    ) -> StepOutput:
        """One training pass over the fields of a `TrainingBatch` at an optimizer step."""
        head = None if head_ids is None or not head_ids.shape[1] else self.share(head_ids[0])
        prompt = self.read(prompt_ids, prompt_mask, to_learn=True, head=head)
        return self.learn(prompt, answer_index, target, row_ids, weight, step)

    @torch.no_grad()
    def score(self, prompt_ids: Tensor, prompt_mask: Tensor, head: SharedHead | None = None) -> Scores:
        """`judge` of prompts that have not been read yet; arguments as `read` has them."""
        return self.judge(self.read(prompt_ids, prompt_mask, head=head))

    @property
    def reader_names(self) -> tuple[str | None, ...]:
        """`reader_name` of each answer that is given to a prompt; here there is one."""
        return (self.reader_name,)

    def answers(self, prompt_ids: Tensor, prompt_mask: Tensor, head: SharedHead | None = None) -> tuple[Scores, ...]:
        """`score` of each answer that is given to a prompt; here there is one."""
        return (self.score(prompt_ids, prompt_mask, head),)

    @torch.no_grad()
    def write_freely(self, prompt_ids: Tensor, prompt_mask: Tensor) -> list[list[int]] | None:
        """`write` behind prompts that have not been read yet; a diagnosis, never a prediction."""
        with self.writer.over_vocabulary():
            return self.write(self.read(prompt_ids, prompt_mask))


class WritingMethod(Method[Prefix]):
    """A method that writes its answer.

    Args:
        writer: The adapted language model.
        table: The answer space under its tokenizer.
        writer_loss: L_W.
    """

    reader_name: str | None = None

    def __init__(self, writer: Writer, table: Table, writer_loss: WriterLoss) -> None:
        super().__init__(writer)
        self.table, self.writer_loss = table, writer_loss

    def read(
        self, prompt_ids: Tensor, prompt_mask: Tensor, to_learn: bool = False, head: SharedHead | None = None
    ) -> Prefix:
        """Prefills; the logits of all columns are kept where a loss will count the prompt's tokens."""
        if head is not None:
            return prefill_behind(self.writer, head, prompt_ids, prompt_mask)
        return self.writer.prefill(prompt_ids, prompt_mask, all_logits=to_learn and self.writer_loss.reads_prompt)

    def share(self, ids: Tensor) -> SharedHead | None:
        """As `Method.share`; a writer that reads all anew in every pass has nothing to keep."""
        return read_head(self.writer, ids) if self.writer.keeps_prompts else None

    @property
    def learns_behind_heads(self) -> bool:
        """As `Method.learns_behind_heads`; a loss over the prompt's own tokens needs the logits of all of them."""
        return self.writer.learns_behind_heads and not self.writer_loss.reads_prompt

    def behind(self, prompt: Prefix, cue: Tensor) -> Prefix:
        """The prefix grown by the cue."""
        shown = cue[None].expand(prompt.mask.shape[0], -1)
        return self.writer.read_on(prompt, shown, torch.ones_like(shown))

    def answer_loss(self, log_posterior: Tensor, answer_index: Tensor) -> Tensor:
        """The writer's loss of the answers' probabilities, the mean over each answer's tokens.

        Args:
            log_posterior: (B, A), made among the tokens that the trie allows.
            answer_index: (B,) gold answers.

        Returns:
            (B,).
        """
        assert isinstance(self.table, AnswerTable)
        tokens = self.table.target_mask[answer_index].sum(dim=1)
        return -log_posterior.gather(1, answer_index[:, None])[:, 0] / tokens

    def posterior_loss(self, log_posterior: Tensor, answer_index: Tensor, target: Tensor) -> Tensor:
        """What `learn` makes of the answers' probabilities under gold history; where they are among allowed tokens.

        Args:
            log_posterior: (B, A).
            answer_index: (B,) gold answers.
            target: (B,) gold numbers or class indices.

        Returns:
            (B,); here `answer_loss`.
        """
        return self.answer_loss(log_posterior, answer_index)

    @abstractmethod
    def conclude(self, prompt: Prefix, decoded: Decoded) -> Scores:
        """What the writer says of prompts, and what a director adds to it."""

    def judge(self, prompt: Prefix) -> Scores:
        """The writer's exact posterior (or its number), and the director's reading of the greedy in-space answer."""
        return self.conclude(prompt, decode(self.writer, prompt, self.table, self.writer_loss.normalise))

    @torch.no_grad()
    def score(self, prompt_ids: Tensor, prompt_mask: Tensor, head: SharedHead | None = None) -> Scores:
        """As `Method.score`, prompts and answers in one pass where they are best read together."""
        normalise, goes_on = self.writer_loss.normalise, self.reader_name is not None
        decoded = read_and_decode(self.writer, head, prompt_ids, prompt_mask, self.table, normalise, goes_on)
        return Scores.joined([self.conclude(*part) for part in decoded])

    def write(self, prompt: Prefix) -> list[list[int]]:
        """Greedy text over the whole vocabulary, as token ids."""
        return generate_freely(self.writer, prompt, self.table)
