"""A fitted run: load it, predict with it, score it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from predgen.answers.spaces import FreeNumber, LabelSet, Space
from predgen.base_run import DEFAULTS, BaseRun, MetricOf, Progress, Row, silent
from predgen.data.columns import TargetField
from predgen.data.objects import RowsInMemory
from predgen.data.prompts import PromptEncoder
from predgen.data.schema import option_columns
from predgen.data.tokens import decode
from predgen.decoding.calibrate import Calibration
from predgen.decoding.close import close_calls
from predgen.decoding.conformal import Conformal, difficulties_of
from predgen.decoding.decide import (
    INTERVAL_LEVEL,
    Floats,
    class_decisions,
    decisions_for,
    grid_quantile,
    highest_density,
    number_decisions,
    weighted_numbers,
)
from predgen.decoding.options import PredictOptions, check_options
from predgen.decoding.voting import vote
from predgen.errors import DataError
from predgen.evaluation import (
    Evaluation,
    Targets,
    coverage_of,
    decision_metrics,
    posterior_quality,
    set_quality,
    share_outside_space,
)
from predgen.metrics import (
    baseline_metrics,
    check_metric,
    classification_metrics,
    interval_metrics,
    regression_metrics,
)
from predgen.model.method import WritingMethod
from predgen.model.outputs import Scores
from predgen.prediction import LabelPrediction, NumberPrediction, Prediction, label_predictions, number_predictions
from predgen.processes import ALONE, Processes
from predgen.scoring import BATCH_TOKENS, in_order, score_rows
from predgen.training.run_folder import RunRecord

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Run(BaseRun):
    """A fitted method with all that turns rows into predictions.

    Args:
        record: What ``predgen.json`` holds.
        method: The fitted module.
        space: The answers.
        encoder: Body → prompt tokens.
        tokenizer: The writer's.
        calibration: What is done to every score.
        conformal: How far off each decision was on dev rows, by its name.
        batch_size: Most prompts a pass.
        batch_tokens: Most tokens a pass, so that longer prompts go in smaller batches.
        rounding: How far half precision moved log-probabilities when it was chosen; rows that close are marked.
        folder: Where it was loaded from or saved to; None of a record's field.
        processes: Those that score rows together. All of them must make the same calls, with the same rows.
    """

    record: RunRecord
    method: nn.Module
    space: Space
    encoder: PromptEncoder
    tokenizer: PreTrainedTokenizerBase
    calibration: Calibration
    conformal: Mapping[str, Conformal]
    batch_size: int = 32
    batch_tokens: int = BATCH_TOKENS
    rounding: float | None = None
    folder: Path | None = None
    processes: Processes = ALONE

    @property
    def reader_name(self) -> str | None:
        """What the method calls its director or head."""
        name: str | None = self.method.reader_name  # type: ignore[assignment]
        return name

    @property
    def marker(self) -> str | None:
        """What stands before the number in targets that are worked solutions; None where they are none."""
        return self.space.marker if isinstance(self.space, FreeNumber) else None

    @property
    def template(self) -> str:
        """How a row becomes the prompt's body."""
        return self.record.template

    @property
    def option_columns(self) -> tuple[str, ...]:
        """As `BaseRun.option_columns`."""
        config = self.record.config
        return option_columns(config["data"].get("options"), config["space"].get("style", "labels"))

    @property
    def targets(self) -> tuple[TargetField, ...]:
        """What it predicts, and how the truth is read from rows."""
        target = self.record.target
        names = self.record.config["data"].get("label_names") or {}  # older runs know of none
        return (TargetField(target, target, self.record.task, self.marker, names=tuple(names.items())),)

    @property
    def parts(self) -> Mapping[str, Run]:
        """The run itself, under its target's name."""
        return {self.record.target: self}

    def shared_by(self, processes: Processes) -> Run:
        """As `BaseRun.shared_by`."""
        return replace(self, processes=processes)

    def score_answers_raw(self, bodies: Sequence[str], progress: Progress = silent) -> list[Scores]:
        """As `score_raw`."""
        return [self.score_raw(bodies, progress)]

    def evaluate_answers(self, bodies: Sequence[str], scores: Sequence[Scores], truth: Sequence[Targets]) -> Evaluation:
        """As `evaluate_scores`."""
        return self.evaluate_scores(bodies, scores[0], truth[0])

    @property
    def metric(self) -> str:
        """What selected the run."""
        return self.record.metric

    @property
    def method_name(self) -> str:
        """How it was trained."""
        return str(self.record.config["method"])

    def metric_over(self, scores: Sequence[Scores], truth: Sequence[Targets], metric: str) -> MetricOf:
        """As `BaseRun.metric_over`."""
        check_metric(metric, self.space)
        decision = self.record.decision
        if not isinstance(self.space, LabelSet):
            values = number_decisions(scores[0], self.space, self.reader_name)[decision].values
            wanted, exact = np.array([float(value) for value in truth[0]]), isinstance(self.space, FreeNumber)
            return lambda chosen: regression_metrics(wanted[chosen].tolist(), values[chosen].tolist(), exact)[metric]
        decided = class_decisions(scores[0], self.space, self.reader_name)[decision]
        labels, ordered = self.space.labels, self.space.ordered
        gold = np.array([str(value) for value in truth[0]], dtype=object)
        predicted = np.array([labels[index] for index in decided.chosen], dtype=object)
        return lambda chosen: classification_metrics(
            gold[chosen].tolist(), predicted[chosen].tolist(), decided.probabilities[chosen], labels, ordered
        )[metric]

    def check(self, options: PredictOptions) -> None:
        """As `check_options` says of this run's answers."""
        check_options(options, self.space, self.conformal)

    def predict_bodies(
        self, bodies: Sequence[str], rows: Sequence[int], options: PredictOptions, progress: Progress
    ) -> Sequence[Prediction]:
        """Rendered rows → predictions; `rows` are their input positions, and `options` are checked."""
        return self.decide(self._scores_for(bodies, rows, options, progress), rows, options)

    def _scores_for(
        self, bodies: Sequence[str], rows: Sequence[int], options: PredictOptions, progress: Progress
    ) -> Scores:
        """`score`, or, where samples are asked for, the shares of the answers drawn."""
        if options.samples is None:
            return self.score(bodies, progress)
        assert isinstance(self.method, WritingMethod)
        prompts = self.encoder.rows(bodies).prompts
        drawn = options.samples, options.temperature, options.seed
        mine = self.processes.mine(range(len(rows)))
        own_prompts, own_rows = [prompts[place] for place in mine], [rows[place] for place in mine]
        votes = [[vote(self.method, own_prompts, own_rows, *drawn, self.batch_size, progress)]] if mine else []
        return in_order(self.processes.gathered((votes, list(mine))))[0]

    def score(self, bodies: Sequence[str], progress: Progress = silent) -> Scores:
        """Scores rendered rows, from their prompts alone, calibrated."""
        return self.calibration.apply(self.score_raw(bodies, progress), self.space)

    def score_raw(self, bodies: Sequence[str], progress: Progress = silent) -> Scores:
        """As `score`, before the dev rows' calibration."""
        encoded = self.encoder.rows(bodies)
        return score_rows(self.method, encoded, self.batch_size, progress, self.batch_tokens, self.processes)

    def decide_answers(
        self, scores: Sequence[Scores], rows: Sequence[int], options: PredictOptions
    ) -> Sequence[Prediction]:
        """As `decide`."""
        return self.decide(scores[0], rows, options)

    def decide(self, scores: Scores, rows: Sequence[int], options: PredictOptions) -> Sequence[Prediction]:
        """Scores → typed predictions; `rows` are their input positions, and `options` are checked."""
        decision = options.decision or (self.record.decision if options.samples is None else "mode")
        if isinstance(self.space, LabelSet):
            decided = class_decisions(scores, self.space, self.reader_name)[decision]
            held = self.conformal[decision].sets(decided.probabilities, options.level)
            labels = label_predictions(decided, held, self.space, options, rows, scores.covered)
            return self._marked(labels, decided.probabilities)
        values = number_decisions(scores, self.space, self.reader_name)[decision].values
        ends = self.intervals(scores, values, options)
        numbers = number_predictions(
            scores, self.space, values, ends, options, rows, lambda ids: decode(self.tokenizer, ids)
        )
        if decision != "mode" or scores.log_posterior is None:
            return numbers
        return self._marked(numbers, scores.log_posterior.double().exp().cpu().numpy())

    def _marked(
        self, predictions: Sequence[LabelPrediction | NumberPrediction], probabilities: Floats
    ) -> Sequence[Prediction]:
        """The same, those that rounding could decide otherwise marked, where there is rounding."""
        if self.rounding is None:
            return predictions
        close = close_calls(probabilities, self.rounding)
        return [replace(each, close=True) if near else each for each, near in zip(predictions, close, strict=True)]

    def intervals(self, scores: Scores, values: Floats, options: PredictOptions = DEFAULTS) -> tuple[Floats, Floats]:
        """Lower and upper ends, (N,) each: around numbers (see `Conformal.intervals`), or of the posterior itself."""
        space, level = self.space, options.level
        assert not isinstance(space, LabelSet)
        weighted = weighted_numbers(scores, space) if options.interval_kind != "conformal" else None
        if weighted is not None:
            if options.interval_kind == "highest":
                return highest_density(weighted.probabilities, weighted.values, level)
            low, high = (
                grid_quantile(weighted.probabilities, weighted.values, (1 + side * level) / 2) for side in (-1, 1)
            )
            return low, high
        conformal = self.conformal[options.decision or self.record.decision]
        low, high = conformal.intervals(values, difficulties_of(scores, space), level, space.low, space.high)
        return space.admit(low), space.admit(high)

    def predict_proba(self, rows: Sequence[Row] | RowsInMemory) -> NDArray[np.float64]:
        """Probabilities of every answer, (N, A), in the order of `space.texts`.

        For labels under the run's default decision; for numbers of the writer's exact posterior.

        Where labels were searched for, what was not found is shared evenly by the labels with the same beginning.

        Raises:
            DataError: If a row cannot be read, or the run has no distribution over numbers (a predictor, free numbers),
                or numbers are too many to list: `predict` gives their quantiles.
        """
        return self.probabilities(self.score(self.bodies(rows)))

    def probabilities(self, scores: Scores) -> NDArray[np.float64]:
        """As `predict_proba`, of scores that are there already."""
        if isinstance(self.space, LabelSet):
            decision = decisions_for(scores, self.space, self.reader_name)[self.record.decision]
            return decision.probabilities  # type: ignore[union-attr]
        if scores.support is not None:
            raise DataError(
                "This run's numbers are searched for, so that there is no probability of each.",
                remedy="Use predict() with quantiles or numbers to exceed, or raise search.exact_nodes and fit again.",
            )
        if scores.log_posterior is None:
            raise DataError(
                "This run has no distribution over numbers: it is a predictor's, or of free numbers.",
                remedy="Use predict(), or another method, or space.kind=grid.",
            )
        posterior: NDArray[np.float64] = scores.log_posterior.double().exp().cpu().numpy()
        return posterior

    def evaluate(self, rows: Sequence[Row] | RowsInMemory, truth: Targets, progress: Progress = silent) -> Evaluation:
        """Scores rows against targets under every decision the run allows.

        Args:
            rows: N ≥ 1 rows.
            truth: N targets: labels, or numbers.
            progress: Called with the number of rows done after each pass.

        Raises:
            DataError: If a row cannot be read.
        """
        bodies = self.bodies(rows)
        return self.evaluate_scores(bodies, self.score(bodies, progress), truth)

    def evaluate_scores(self, bodies: Sequence[str], scores: Scores, truth: Targets) -> Evaluation:
        """As `evaluate`, of scores that are there already."""
        if isinstance(self.space, LabelSet):
            decided = class_decisions(scores, self.space, self.reader_name)[self.record.decision]
            held = self.conformal[self.record.decision].sets(decided.probabilities, INTERVAL_LEVEL)
            interval = set_quality(held, self.space.labels, truth)
        else:
            values = number_decisions(scores, self.space, self.reader_name)[self.record.decision].values
            low, high = self.intervals(scores, values)
            interval = interval_metrics([float(target) for target in truth], low.tolist(), high.tolist())
            interval |= posterior_quality(scores, self.space, truth)
        prompts = self.encoder.rows(bodies).prompts
        return Evaluation(
            rows=len(bodies),
            decision=self.record.decision,
            decisions=decision_metrics(scores, self.space, self.reader_name, truth),
            baseline=baseline_metrics(self.record.baseline, truth),
            interval=interval,
            outside_space=share_outside_space(
                self.method, prompts, self.space, self.tokenizer, self.batch_size, self.processes
            ),
            covered=coverage_of(scores),
        )
