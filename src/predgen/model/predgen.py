"""PredGen: writer, scheduled sampling, director and a joint loss. Reading `forward` is reading the paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from predgen.answers.tables import AnswerTable
from predgen.config import DirectorHistory, SamplingMode
from predgen.decoding.generate import generate_freely
from predgen.decoding.score import score_trie
from predgen.model.director import Director, Reading
from predgen.model.losses import JointLoss, masked_mean, token_losses
from predgen.model.outputs import Scores, StepOutput
from predgen.model.sampling import History, LinearSchedule, draw_coins, gold_history, mixed_history
from predgen.model.writer import Prefix, Writer


class PredGen(nn.Module):
    """The paper's method (section 4).

    Args:
        writer: The adapted language model.
        table: The answer space under its tokenizer.
        director: The task adapter, an `nn.Module`.
        joint: How L_W and L_D become one loss.
        schedule: p(s).
        mode: One coin a token, or one a row.
        director_history: "any": every row teaches the director. "own": only rows whose whole history is the model's
            own, since under gold history the director can copy the answer from its own input; the other rows then
            carry the writer loss alone.
        seed: Keys the sampling coins.
    """

    def __init__(
        self,
        writer: Writer,
        table: AnswerTable,
        director: nn.Module,
        joint: JointLoss,
        schedule: LinearSchedule,
        mode: SamplingMode,
        director_history: DirectorHistory,
        seed: int,
    ) -> None:
        super().__init__()
        self.writer, self.table, self.director = writer, table, director
        self.joint, self.schedule, self.mode, self.seed = joint, schedule, mode, seed
        self.director_history = director_history
        # A director that reads nothing at inference has no decision of its own.
        self.reader_name = "director" if any(True for _ in director.parameters()) else None

    def forward(
        self,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        answer_index: Tensor,
        target: Tensor,
        row_ids: Tensor,
        step: int,
    ) -> StepOutput:
        """One training pass; B rows, P prompt tokens.

        The prompt is read once, with its gradient. The history is written against its detached states; then only the
        answer runs behind the prompt with gradients, and only answer positions are projected to the vocabulary.

        Args:
            prompt_ids: (B, P), padded on the left.
            prompt_mask: (B, P).
            answer_index: (B,) gold answers.
            target: (B,) gold numbers or class indices.
            row_ids: (B,) keys of the coins.
            step: Optimizer steps taken so far; s of the schedule.
        """
        prefix = self.writer.prefill(prompt_ids, prompt_mask)
        probability = self.schedule(step)
        history = self._history(prefix, answer_index, row_ids, probability, step)
        written = self.writer.extend(prefix, history.ids, history.mask)
        logits = torch.cat([prefix.logits[:, None], written.logits], dim=1)  # (B, T + 1, V): y_1 follows the prompt

        losses = token_losses(logits, history.targets)
        writer_loss = masked_mean(losses, history.target_mask)
        reading = Reading(written.states, history.mask, losses, history.target_weights * history.target_mask)
        director: Director = self.director  # type: ignore[assignment]
        director_loss = director.loss(reading, answer_index, target)

        joined = self.joint(writer_loss, director_loss)
        if self.director_history == "own":
            joined = torch.where(history.own, joined, writer_loss)
        return StepOutput(joined.mean(), writer_loss, director_loss, history.own, probability)

    def _history(self, prefix: Prefix, answer_index: Tensor, row_ids: Tensor, probability: float, step: int) -> History:
        if probability == 0.0:
            return gold_history(self.table, answer_index)
        coins = draw_coins(self.mode, probability, self.seed, step, row_ids, self.table.depth + 1)
        return mixed_history(self.writer, prefix, self.table, answer_index, coins)

    @torch.no_grad()
    def score(self, prompt_ids: Tensor, prompt_mask: Tensor) -> Scores:
        """The writer's exact posterior, and the director's reading of the greedy in-space answer.

        Args:
            prompt_ids: (B, P), padded on the left.
            prompt_mask: (B, P).
        """
        prefix = self.writer.prefill(prompt_ids, prompt_mask)
        scored = score_trie(self.writer, prefix, self.table)
        answer = gold_history(self.table, scored.greedy)  # the greedy answer stands where gold stands in training
        states = self.writer.extend(prefix, answer.ids, answer.mask).states
        director: Director = self.director  # type: ignore[assignment]
        return Scores(
            log_posterior=scored.log_posterior,
            log_mass=scored.log_mass,
            greedy=scored.greedy,
            class_logits=director.class_logits(states, answer.mask),
            value=director.value(states, answer.mask),
        )

    def write_freely(self, prompt_ids: Tensor, prompt_mask: Tensor) -> list[list[int]]:
        """Greedy text over the whole vocabulary, as token ids; a diagnosis, never a prediction."""
        return generate_freely(self.writer, self.writer.prefill(prompt_ids, prompt_mask), self.table)
