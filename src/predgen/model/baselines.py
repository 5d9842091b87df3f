"""What PredGen is compared with: the Predictor and the Generator, with the same output types."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from predgen.answers.tables import AnswerTable
from predgen.config import Pooling, Task
from predgen.decoding.generate import generate_freely
from predgen.decoding.score import score_trie
from predgen.model.director import Head, mean_state
from predgen.model.losses import masked_mean, token_losses
from predgen.model.outputs import Scores, StepOutput
from predgen.model.sampling import gold_history
from predgen.model.writer import Writer


class Generator(nn.Module):
    """Plain fine-tuning on the answer tokens (teacher forcing); the answer is read off the exact posterior.

    Args:
        writer: The adapted language model.
        table: The answer space under its tokenizer.
    """

    reader_name: str | None = None

    def __init__(self, writer: Writer, table: AnswerTable) -> None:
        super().__init__()
        self.writer, self.table = writer, table

    def forward(
        self,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        answer_index: Tensor,
        target: Tensor,
        row_ids: Tensor,
        step: int,
    ) -> StepOutput:
        """One training pass; see `PredGen.forward` for the arguments."""
        prefix = self.writer.prefill(prompt_ids, prompt_mask)
        gold = gold_history(self.table, answer_index)
        written = self.writer.extend(prefix, gold.ids, gold.mask)
        logits = torch.cat([prefix.logits[:, None], written.logits], dim=1)
        writer_loss = masked_mean(token_losses(logits, gold.targets), gold.target_mask)
        return StepOutput(writer_loss.mean(), writer_loss, None, None, None)

    @torch.no_grad()
    def score(self, prompt_ids: Tensor, prompt_mask: Tensor) -> Scores:
        """The writer's exact posterior; see `PredGen.score`."""
        prefix = self.writer.prefill(prompt_ids, prompt_mask)
        scored = score_trie(self.writer, prefix, self.table)
        return Scores(scored.log_posterior, scored.log_mass, scored.greedy, None, None)

    def write_freely(self, prompt_ids: Tensor, prompt_mask: Tensor) -> list[list[int]]:
        """Greedy text over the whole vocabulary, as token ids; a diagnosis, never a prediction."""
        return generate_freely(self.writer, self.writer.prefill(prompt_ids, prompt_mask), self.table)


class LastToken(nn.Module):
    """The state of the prompt's last token, which has read all of it."""

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, P, d) left-padded → (B, d)."""
        return states[:, -1] if states.dtype == torch.float64 else states[:, -1].float()


class MeanPool(nn.Module):
    """The mean over the prompt's tokens."""

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, P, d), (B, P) → (B, d)."""
        return mean_state(states, mask)


class AttentionPool(nn.Module):
    """A learned query over all token states: a stronger head than any in the paper.

    Args:
        hidden_size: d.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        # At zero it is the mean; training moves it from there.
        self.query = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, P, d), (B, P) → (B, d)."""
        wide = states if states.dtype == torch.float64 else states.float()
        scores = (wide @ self.query) / wide.shape[-1] ** 0.5
        weights = torch.softmax(scores.masked_fill(mask == 0, -torch.inf), dim=1)
        return (weights[:, :, None] * wide).sum(dim=1)


def build_pool(pooling: Pooling, hidden_size: int) -> nn.Module:
    """The pooling of that name."""
    pools: dict[Pooling, type[nn.Module]] = {"last": LastToken, "mean": MeanPool}
    return AttentionPool(hidden_size) if pooling == "attention" else pools[pooling]()


class Predictor(nn.Module):
    """A linear head on the pooled prompt states: cross-entropy, or squared error of the standardised target.

    Args:
        writer: The adapted language model; here it only reads.
        task: Which of the two losses.
        outputs: Classes; 1 for numbers.
        pooling: "last", "mean" or "attention".
        mean: The training targets' mean; unused for classes.
        spread: Their standard deviation, positive; unused for classes.
    """

    reader_name: str | None = "head"

    def __init__(
        self, writer: Writer, task: Task, outputs: int, pooling: Pooling, mean: float = 0.0, spread: float = 1.0
    ) -> None:
        super().__init__()
        self.writer, self.task = writer, task
        self.pool = build_pool(pooling, writer.hidden_size)
        self.output = Head(writer.hidden_size, outputs)
        self.mean, self.spread = mean, spread

    def forward(
        self,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        answer_index: Tensor,
        target: Tensor,
        row_ids: Tensor,
        step: int,
    ) -> StepOutput:
        """One training pass; see `PredGen.forward` for the arguments."""
        output = self._read(prompt_ids, prompt_mask)
        if self.task == "classification":
            loss = functional.cross_entropy(output, answer_index, reduction="none")
        else:
            loss = (output[:, 0] - (target - self.mean) / self.spread).square()
        return StepOutput(loss.mean(), None, loss, None, None)

    def _read(self, prompt_ids: Tensor, prompt_mask: Tensor) -> Tensor:
        pooled = self.pool(self.writer.read(prompt_ids, prompt_mask), prompt_mask)
        output: Tensor = self.output(pooled)
        return output

    @torch.no_grad()
    def score(self, prompt_ids: Tensor, prompt_mask: Tensor) -> Scores:
        """The head's class logits or number; there is no posterior over written answers."""
        output = self._read(prompt_ids, prompt_mask)
        if self.task == "classification":
            return Scores(None, None, None, output, None)
        return Scores(None, None, None, None, output[:, 0] * self.spread + self.mean)

    def write_freely(self, prompt_ids: Tensor, prompt_mask: Tensor) -> None:
        """None: a head writes nothing."""
        return None
