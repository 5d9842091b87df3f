"""What can be fitted again once training is over: the answers' output weights, or a head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from predgen.answers.spaces import Grid, Space
from predgen.answers.tables import AnswerTable
from predgen.config import RunConfig
from predgen.data.batches import TrainingRow
from predgen.decoding.decode import as_decoded
from predgen.errors import ConfigError
from predgen.model.baselines import Predictor
from predgen.model.director import RankedProbability
from predgen.model.head_probe import fit_heads
from predgen.model.in_passes import in_passes
from predgen.model.method import WritingMethod
from predgen.model.outputs import Scores
from predgen.model.probe import RowLoss, fit_probes, read_states, rows_to_fit, scores_under
from predgen.model.scale import Scale
from predgen.training.probe import FEWEST_ROWS, states_to_fit, why_no_probe, write_probe
from predgen.training.refit import Refit


def check_refit(method: nn.Module, rows: int, config: RunConfig) -> None:
    """Refuses what is asked to be fitted again and cannot be, before anything is written.

    Raises:
        ConfigError: The message says why.
    """
    for name, finish, why_not in (
        ("writer.finish", config.writer.finish, why_no_probe),
        ("predictor.finish", config.predictor.finish, _why_no_head),
    ):
        reason = why_not(method, rows, config) if finish == "probe" else None
        if reason is not None:
            raise ConfigError(f"{name}=probe cannot be had here:", reason, f"Leave {name} out.")


def _why_no_head(method: nn.Module, rows: int, config: RunConfig) -> str | None:
    """What keeps a head from being fitted again, if anything does."""
    if not isinstance(method, Predictor):
        return "The method has no head, or gives several answers to a row."
    if rows < FEWEST_ROWS:
        return f"There are {rows} training rows, fewer than {FEWEST_ROWS}."
    return None


def asked_refit(method: nn.Module, space: Space, scale: Scale, config: RunConfig) -> Refit | None:
    """What the settings ask to be fitted again, if anything.

    Args:
        method: Trained.
        space: Its answers.
        scale: Of its training targets.
        config: The settings.
    """
    if isinstance(method, WritingMethod) and config.writer.finish == "probe":
        return OutputWeights(method, space, scale)
    if isinstance(method, Predictor) and config.predictor.finish == "probe":
        return HeadWeights(method)
    return None


class OutputWeights(Refit):
    """The output weights of the answers' tokens, as a probe (C, d); see `predgen.model.probe`.

    Args:
        method: Trained.
        space: Its answers.
        scale: Of its training targets.
    """

    setting, what, reader_name = "writer.finish", "The answers' output weights", None

    def __init__(self, method: WritingMethod, space: Space, scale: Scale) -> None:
        assert isinstance(method.table, AnswerTable) and method.writer.projection is not None
        self._method, self._table, self._projection = method, method.table, method.writer.projection
        self._loss = _proper_loss(method, space, scale)

    def fit(self, rows: Sequence[TrainingRow], config: RunConfig) -> list[Tensor]:
        """As `Refit.fit`: by the writer's loss, and of numbers the ranked probability score."""
        return fit_probes(self._method.writer, self._table, *states_to_fit(self._method, rows, config), self._loss)

    def scores(self, candidates: Sequence[Tensor], prompts: Sequence[Sequence[int]], batch_size: int) -> list[Scores]:
        """As `Refit.scores`: the posteriors."""
        states = read_states(self._method.writer, self._table, prompts, batch_size)
        found = (scores_under(self._method.writer, self._table, states, probe) for probe in candidates)
        return [as_decoded(each, self._table).scores.cpu() for each in found]

    def put(self, weights: Tensor | None) -> Tensor | None:
        """As `Refit.put`."""
        before = self._projection.probe
        self._projection.probe = None if weights is None else weights.to(self._projection.tokens.device)
        return before

    def keep(self, weights: Tensor, folder: Path) -> None:
        """As the run folder's probe."""
        write_probe(self._method.writer, weights, folder)


def _proper_loss(method: WritingMethod, space: Space, scale: Scale) -> RowLoss:
    """The writer's loss; of numbers the ranked probability score besides, which knows how far apart they lie.

    Whatever trained the writer: both are strictly proper, so that their sum asks for one distribution, the rows' own.
    The expected value's squared error asks for nothing but its mean.
    """
    if not isinstance(space, Grid):
        return lambda log_posterior, answer_index, target: method.answer_loss(log_posterior, answer_index)
    ranked = RankedProbability(space.values, scale).to(next(method.parameters()).device)

    def loss(log_posterior: Tensor, answer_index: Tensor, target: Tensor) -> Tensor:
        return method.answer_loss(log_posterior, answer_index) + ranked.score(log_posterior, answer_index, target)

    return loss


class HeadWeights(Refit):
    """A head's linear layer, (K, d + 1) with its bias; see `predgen.model.head_probe`.

    Args:
        method: Trained.
    """

    setting, what = "predictor.finish", "The head"

    def __init__(self, method: Predictor) -> None:
        self._method, self.reader_name = method, method.reader_name

    def fit(self, rows: Sequence[TrainingRow], config: RunConfig) -> list[Tensor]:
        """As `Refit.fit`: ridge or logistic regression."""
        method, linear = self._method, self._method.output.linear
        chosen = [rows[row] for row in rows_to_fit(len(rows), linear.in_features, config.train.seed)]
        features = self._features([row.ids for row in chosen], config.train.eval_batch_size)
        if method.task == "classification":
            target = torch.tensor([row.answer_index for row in chosen])
        else:
            target = method.scale.standardise(torch.tensor([row.target for row in chosen], dtype=torch.float64))
        weight = torch.tensor([row.weight for row in chosen])
        return fit_heads(features, target, weight, method.task, linear.out_features)

    def scores(self, candidates: Sequence[Tensor], prompts: Sequence[Sequence[int]], batch_size: int) -> list[Scores]:
        """As `Refit.scores`: the heads' outputs."""
        features = self._features(prompts, batch_size)
        outputs = (nn.functional.linear(features, each[:, :-1], each[:, -1]) for each in candidates)
        return [self._method.scores_of(output).cpu() for output in outputs]

    @torch.no_grad()
    def put(self, weights: Tensor | None) -> Tensor | None:
        """As `Refit.put`; a head always has some."""
        assert weights is not None
        linear = self._method.output.linear
        before = torch.cat([linear.weight, linear.bias[:, None]], dim=1)
        linear.weight.copy_(weights[:, :-1])
        linear.bias.copy_(weights[:, -1])
        return before

    def keep(self, weights: Tensor, folder: Path) -> None:
        """Nothing: the head is saved with the method."""

    def _features(self, prompts: Sequence[Sequence[int]], batch_size: int) -> Tensor:
        """(N, d) what the linear layer reads of prompts."""
        method = self._method

        def read(ids: Tensor, mask: Tensor) -> Tensor:
            return method.features(method.read(ids, mask))

        return in_passes(method, prompts, batch_size, method.output.linear.weight.device, read)
