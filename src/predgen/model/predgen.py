"""PredGen: writer, scheduled sampling, director and a joint loss. Reading `learn` is reading the paper."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from predgen.answers.build import Table
from predgen.answers.tables import AnswerTable
from predgen.config import DirectorHistory, OwnTokens, SamplingMode
from predgen.decoding.decode import Decoded
from predgen.decoding.score import trie_scores
from predgen.model.director import Answer, Director, PosteriorDirector, Reading, StateDirector
from predgen.model.history import History, gold_history, write_history
from predgen.model.losses import JointLoss
from predgen.model.method import WritingMethod
from predgen.model.outputs import Scores, StepOutput
from predgen.model.prefix import Prefix, Written
from predgen.model.sampling import GumbelNoise, draw_coins
from predgen.model.schedules import Schedule
from predgen.model.writer import Writer
from predgen.model.writer_loss import WriterLoss


class Sampling(NamedTuple):
    """Scheduled sampling's settings."""

    schedule: Schedule  # p(s)
    mode: SamplingMode  # what shares a coin
    own: OwnTokens  # how own tokens are chosen
    seed: int  # keys coins and noise


class PredGen(WritingMethod):
    """The paper's method (section 4).

    Args:
        writer: The adapted language model.
        table: The answer space under its tokenizer.
        director: The task adapter, an `nn.Module`; None where the joint loss asks for none.
        writer_loss: L_W.
        joint: How L_W and L_D become one loss.
        sampling: What histories the writer is shown.
        director_history: "any": every row teaches the director. "own": only rows whose whole history is the model's
            own, since under gold history the director can copy the answer from its own input; the other rows then
            carry the writer loss alone.
        loss_of: "rows": the losses are joined row by row. "batch": their means over a micro-batch are, as in the
            released code; the result then depends on how rows are batched.
    """

    def __init__(
        self,
        writer: Writer,
        table: Table,
        director: nn.Module | None,
        writer_loss: WriterLoss,
        joint: JointLoss,
        sampling: Sampling,
        director_history: DirectorHistory = "any",
        loss_of: Literal["rows", "batch"] = "rows",
    ) -> None:
        super().__init__(writer, table, writer_loss)
        self.director, self.joint, self.sampling = director, joint, sampling
        self.director_history, self.loss_of = director_history, loss_of
        if isinstance(director, StateDirector) and director.reads_prompt:
            writer.keeps_states = True
        # A director that reads nothing at inference has no decision of its own.
        reads = director is not None and any(True for _ in director.parameters())
        self.reader_name = "director" if reads else None

    def learn(
        self,
        prompt: Prefix,
        answer_index: Tensor,
        target: Tensor,
        row_ids: Tensor,
        weight: Tensor,
        step: int,
    ) -> StepOutput:
        """One training pass behind B prompts, which were read once, with their gradient.

        The history is written against their detached states; then only the answer runs behind them with gradients, and
        only answer positions are projected to the vocabulary. Arguments as `Method.learn` has them.
        """
        probability = self.sampling.schedule(step)
        history = self._history(prompt, answer_index, row_ids, probability, step)
        written = self.writer.extend(prompt, history.ids, history.mask)

        losses = self.writer_loss(written, history, self.table, prompt)
        if self.director is None:
            return StepOutput((weight * losses.rows).mean(), losses.rows, None, history.own, probability)
        reading = Reading(
            answer=self._answer(prompt, written, history.read),
            logits=written.logits,
            targets=history.targets,
            target_mask=history.target_mask,
            token_losses=losses.tokens,
            token_weights=history.target_weights * history.target_mask,
            log_posterior=lambda: self._posterior(prompt),
        )
        director: Director = self.director  # type: ignore[assignment]
        director_loss = director.loss(reading, answer_index, target)
        loss = self._join(losses.rows, director_loss, history.own, weight)
        return StepOutput(loss, losses.rows, director_loss, history.own, probability)

    def _answer(self, prompt: Prefix, written: Written, read: Tensor) -> Answer:
        return Answer(written.states, read, written.logits[:, 1:], written.prompt_states, prompt.mask)

    def _history(self, prefix: Prefix, answer_index: Tensor, row_ids: Tensor, probability: float, step: int) -> History:
        if probability == 0.0:
            return gold_history(self.table, answer_index)
        coins, noise = self._chance(row_ids, probability, step)
        mode, own = self.sampling.mode, self.sampling.own
        return write_history(self.writer, prefix, self.table, answer_index, mode, own, coins, noise)

    def _chance(self, row_ids: Tensor, probability: float, step: int) -> tuple[Tensor, GumbelNoise | None]:
        _, mode, own, seed = self.sampling
        coins = draw_coins(mode, probability, seed, step, row_ids, self.table.depth + 1)
        return coins, GumbelNoise(seed, step, row_ids, self.table.choices) if own == "sample" else None

    def _posterior(self, prefix: Prefix) -> Tensor:
        assert isinstance(self.table, AnswerTable)  # check_director keeps other spaces from directors that ask for it
        return trie_scores(self.writer, prefix, self.table, self.writer_loss.normalise).log_posterior

    def _join(self, writer_loss: Tensor, director_loss: Tensor, own: Tensor, weight: Tensor) -> Tensor:
        taught = own if self.director_history == "own" else torch.ones_like(own)
        if self.loss_of == "rows":
            return (weight * torch.where(taught, self.joint(writer_loss, director_loss), writer_loss)).mean()
        if not taught.any():
            return (weight * writer_loss).mean()
        return self.joint((weight * writer_loss).mean(), (weight * director_loss)[taught].mean())

    def posterior_loss(self, log_posterior: Tensor, answer_index: Tensor, target: Tensor) -> Tensor:
        """As `WritingMethod.posterior_loss`, joined with the loss of a director that scores the posterior."""
        writer_loss = super().posterior_loss(log_posterior, answer_index, target)
        director: object = self.director  # to the type checker a module is no protocol's
        if not isinstance(director, PosteriorDirector):
            return writer_loss
        return self.joint(writer_loss, director.score(log_posterior, answer_index, target))

    @torch.no_grad()
    def conclude(self, prompt: Prefix, decoded: Decoded) -> Scores:
        """The writer's exact posterior (or its number), and the director's reading of the greedy in-space answer."""
        if self.reader_name is None:
            return decoded.scores
        written = self.writer.extend(prompt, decoded.ids, decoded.mask)
        answer = self._answer(prompt, written, decoded.read)
        director: Director = self.director  # type: ignore[assignment]
        return decoded.scores._replace(class_logits=director.class_logits(answer), value=director.value(answer))
