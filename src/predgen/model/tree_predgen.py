"""PredGen over a whole tree of answers: one pass gives the history, the writer's loss and the posterior."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from predgen.answers.tables import AnswerTable
from predgen.decoding.score import is_one_stretch, read_tree, scores_of
from predgen.model.director import PosteriorDirector
from predgen.model.history import History, gold_history, tree_history
from predgen.model.losses import masked_mean
from predgen.model.outputs import StepOutput
from predgen.model.predgen import PredGen
from predgen.model.prefix import Prefix


class TreePredGen(PredGen):
    """`PredGen`, the same losses and gradients, for directors that score every answer's probability.

    These read the trie's inner nodes behind every prompt anyway. Whatever history the coins mix is a path among them,
    so that the likeliest tokens, and what the writer says of gold behind them, need no pass of their own: scheduled
    sampling costs nothing. See `suits` for what that takes.
    """

    @classmethod
    def of(cls, method: PredGen) -> TreePredGen:
        """The same method, its steps taken over the tree; its modules are shared."""
        return cls(
            method.writer,
            method.table,
            method.director,
            method.writer_loss,
            method.joint,
            method.sampling,
            method.director_history,
            method.loss_of,
        )

    @staticmethod
    def suits(method: PredGen) -> bool:
        """Whether a method's steps can be taken over the tree.

        Own tokens are chosen in eval mode, which is this pass's only where nothing is dropped out; probabilities are
        among a node's children, since what ends an answer that none goes on from is not read; and a history is a path
        of the trie unless its tokens are free, or predicted from gold all at once.
        """
        table, loss, sampling = method.table, method.writer_loss, method.sampling
        director: object = method.director  # to the type checker a module is no protocol's
        return (
            isinstance(director, PosteriorDirector)
            and isinstance(table, AnswerTable)
            and is_one_stretch(method.writer, table)
            and loss.normalise == "space"
            and not loss.reads_prompt
            and sampling.own != "free"
            and sampling.mode != "parallel"
            and not method.writer.drops_out
        )

    def learn(
        self,
        prompt: Prefix,
        answer_index: Tensor,
        target: Tensor,
        row_ids: Tensor,
        weight: Tensor,
        step: int,
    ) -> StepOutput:
        """One training pass behind B prompts; arguments as `Method.learn` has them."""
        table, director = cast(AnswerTable, self.table), cast(PosteriorDirector, self.director)
        probability = self.sampling.schedule(step)
        logits = read_tree(self.writer, prompt, table)
        history = self._over_tree(logits, answer_index, row_ids, probability, step)

        row, reached = torch.arange(len(logits), device=logits.device)[:, None], cast(Tensor, history.nodes)
        tokens = self.writer_loss.of_tokens(logits[row, table.columns[reached]], history, table)
        writer_loss = masked_mean(tokens, history.target_mask)
        log_posterior = scores_of(logits, table, self.writer_loss.normalise).log_posterior
        director_loss = director.score(log_posterior, answer_index, target)
        loss = self._join(writer_loss, director_loss, history.own, weight)
        return StepOutput(loss, writer_loss, director_loss, history.own, probability)

    def _over_tree(
        self, logits: Tensor, answer_index: Tensor, row_ids: Tensor, probability: float, step: int
    ) -> History:
        table = cast(AnswerTable, self.table)
        if probability == 0.0:
            return gold_history(table, answer_index)
        return tree_history(logits, table, answer_index, *self._chance(row_ids, probability, step))
