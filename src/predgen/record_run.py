"""A fitted run that gives several answers to a row: the fields of a record, or any number of labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from predgen.answers.spaces import LabelSet
from predgen.base_run import BaseRun, MetricOf, Progress, Row, silent
from predgen.data.columns import YES, TargetField
from predgen.data.objects import RowsInMemory
from predgen.decoding.decide import class_decisions, number_decisions
from predgen.decoding.options import PredictOptions
from predgen.decoding.slots import decide_slots
from predgen.errors import ConfigError, DataError, nearest
from predgen.evaluation import RecordEvaluation, Targets
from predgen.model.outputs import Scores
from predgen.prediction import LabelsPrediction, Prediction, RecordPrediction, to_json
from predgen.processes import Processes
from predgen.record_metrics import (
    Floats,
    checked_metric,
    field_loss,
    label_matrix,
    multilabel_baseline,
    multilabel_metrics,
    skill,
)
from predgen.run import Run
from predgen.scoring import score_answer_rows
from predgen.training.record_folder import SharedRecord

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class RecordRun(BaseRun):
    """A fitted method with all that turns rows into several answers each.

    Args:
        record: What ``predgen.json`` holds.
        method: The fitted module, a `RecordMethod`.
        runs: Field → a run of it alone, on the same weights: it predicts, evaluates and explains as any other run.
        folder: Where it was loaded from or saved to.
    """

    record: SharedRecord
    method: nn.Module
    runs: Mapping[str, Run]
    folder: Path | None = None

    @property
    def parts(self) -> Mapping[str, Run]:
        """As `runs`."""
        return self.runs

    @property
    def template(self) -> str:
        """How a row becomes the prompt's body."""
        return self.record.template

    @property
    def targets(self) -> tuple[TargetField, ...]:
        """How the fields' targets are read."""
        return tuple(field.target for field in self.record.fields)

    @property
    def _first(self) -> Run:
        return next(iter(self.runs.values()))

    def shared_by(self, processes: Processes) -> RecordRun:
        """As `BaseRun.shared_by`."""
        runs = {name: run.shared_by(processes) for name, run in self.runs.items()}
        return dataclasses.replace(self, runs=runs)

    def score_answers_raw(self, bodies: Sequence[str], progress: Progress = silent) -> list[Scores]:
        """Scores rendered rows, from their prompts alone, before the dev rows' calibration; one a field."""
        one = self._first
        encoded = one.encoder.rows(bodies)
        return score_answer_rows(self.method, encoded, one.batch_size, progress, one.batch_tokens, one.processes)

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
        metric = checked_metric(metric, self.record.kind)
        if self.record.kind == "multilabel":
            wanted = label_matrix([[target == YES for target in column] for column in truth])
            held, probabilities = self._slots(scores, self.record.fields[0].decision)
            return lambda chosen: multilabel_metrics(wanted[chosen], held[chosen], probabilities[chosen])[metric]
        losses = [
            _row_losses(run, part, targets)
            for run, part, targets in zip(self.runs.values(), scores, truth, strict=True)
        ]
        return lambda chosen: skill(
            [float(mine[chosen].mean()) for mine, _ in losses],
            [float(constants[:, chosen].mean(axis=1).min()) for _, constants in losses],
        )

    def check(self, options: PredictOptions) -> None:
        """Refuses what no field can give; of a record, label options go to labels and number options to numbers.

        Raises:
            ConfigError: The message says what it is.
        """
        if self.record.kind == "multilabel":
            self._check_for_multilabel(options)
            return
        for name, asked in (
            ("threshold", options.thresholds),
            ("cost", options.costs),
            ("decision", options.decision),
            ("sample", options.samples),
        ):
            if asked:
                raise ConfigError(
                    f"A {name} is asked for, and this run has several fields: {', '.join(self.runs)}.",
                    "It is one field's matter.",
                    "In Python ask that field's own run: run.runs[name].predict(rows, options).",
                )
        for name, asked_of_field in self._by_field(options).items():
            self.runs[name].check(asked_of_field)

    def _by_field(self, options: PredictOptions) -> dict[str, PredictOptions]:
        """What of a record's options is meant for each field."""
        labels = any(isinstance(run.space, LabelSet) for run in self.runs.values())
        numbers = any(not isinstance(run.space, LabelSet) for run in self.runs.values())
        return {name: _of_field(options, run, labels, numbers) for name, run in self.runs.items()}

    def _check_for_multilabel(self, options: PredictOptions) -> None:
        plain = PredictOptions(decision=options.decision, thresholds=options.thresholds)
        if options != plain:
            raise ConfigError(
                "Of several labels, predictions are asked by decision and by thresholds alone.",
                "Found another option.",
                "Probabilities of all labels are given in any case.",
            )
        for label, threshold in options.thresholds.items():
            if label not in self.runs:
                raise ConfigError(f"This run has no label {label!r}:", nearest(label, self.runs))
            if not 0.0 <= threshold <= 1.0:
                raise ConfigError(f"The threshold {threshold:g} of {label!r} is no probability.")
        self._first.check(PredictOptions(decision=options.decision))

    def predict_bodies(
        self, bodies: Sequence[str], rows: Sequence[int], options: PredictOptions, progress: Progress
    ) -> Sequence[Prediction]:
        """Rendered rows → predictions; `rows` are their input positions, and `options` are checked."""
        return self.decide_answers(self.score_answers(bodies, progress), rows, options)

    def decide_answers(
        self, scores: Sequence[Scores], rows: Sequence[int], options: PredictOptions
    ) -> Sequence[Prediction]:
        """As `BaseRun.decide_answers`."""
        if self.record.kind == "multilabel":
            return self._labels_of(scores, rows, options)
        asked = self._by_field(options)
        columns = {
            name: [to_json(each) for each in run.decide(part, rows, asked[name])]
            for (name, run), part in zip(self.runs.items(), scores, strict=True)
        }
        return [
            RecordPrediction(
                row,
                {name: column[place]["prediction"] for name, column in columns.items()},
                {
                    name: {key: value for key, value in column[place].items() if key not in ("row", "prediction")}
                    for name, column in columns.items()
                },
            )
            for place, row in enumerate(rows)
        ]

    def _labels_of(
        self, scores: Sequence[Scores], rows: Sequence[int], options: PredictOptions
    ) -> list[LabelsPrediction]:
        chosen, probabilities = self._slots(scores, options.decision or self.record.fields[0].decision)
        for place, name in enumerate(self.runs):
            if name in options.thresholds:
                chosen[:, place] = probabilities[:, place] >= options.thresholds[name]
        return [
            LabelsPrediction(
                row,
                tuple(name for name, there in zip(self.runs, chosen[place], strict=True) if there),
                dict(zip(self.runs, probabilities[place].tolist(), strict=True)),
            )
            for place, row in enumerate(rows)
        ]

    def _slots(self, scores: Sequence[Scores], decision: str) -> tuple[NDArray[np.bool_], Floats]:
        """(N, K) which labels are chosen, and how probable each is."""
        return decide_slots(scores, [run.reader_name for run in self.runs.values()], decision)

    def predict_proba(self, rows: Sequence[Row] | RowsInMemory) -> dict[str, NDArray[np.float64]]:
        """Field → what `Run.predict_proba` gives of it; of several labels the probability of `YES` comes first."""
        scores = self.score_answers(self.bodies(rows))
        return {name: run.probabilities(part) for (name, run), part in zip(self.runs.items(), scores, strict=True)}

    def evaluate(
        self, rows: Sequence[Row] | RowsInMemory, truth: Sequence[Targets], progress: Progress = silent
    ) -> RecordEvaluation:
        """Scores rows against targets, each field under every decision it allows.

        Args:
            rows: N ≥ 1 rows.
            truth: Of each field N targets, as `read_fields` gives them.
            progress: Called with the number of rows done after each pass.

        Raises:
            DataError: If a row cannot be read, or targets are missing.
        """
        if len(truth) != len(self.runs):
            raise DataError(f"Targets of {len(truth)} fields were given.", f"This run has {len(self.runs)}.")
        bodies = self.bodies(rows)
        return self.evaluate_answers(bodies, self.score_answers(bodies, progress), truth)

    def evaluate_answers(
        self, bodies: Sequence[str], scores: Sequence[Scores], truth: Sequence[Targets]
    ) -> RecordEvaluation:
        """As `evaluate`, of scores that are there already."""
        fields = {
            name: run.evaluate_scores(bodies, part, targets)
            for (name, run), part, targets in zip(self.runs.items(), scores, truth, strict=True)
        }
        record = self.record
        if record.kind == "record":
            losses = [field_loss(field.decisions[field.decision]) for field in fields.values()]
            constants = [min(map(field_loss, field.baseline.values())) for field in fields.values()]
            value = skill(losses, constants)
            return RecordEvaluation(len(bodies), record.kind, record.metric, value, fields, None, {}, {})
        wanted = label_matrix([[target == YES for target in column] for column in truth])
        decisions = {
            name: multilabel_metrics(wanted, *self._slots(scores, name))
            for name in next(iter(fields.values())).decisions
        }
        baseline = multilabel_baseline([run.record.baseline["shares"][YES] for run in self.runs.values()], wanted)
        decision = record.fields[0].decision
        value = decisions[decision][record.metric]
        return RecordEvaluation(len(bodies), record.kind, record.metric, value, fields, decision, decisions, baseline)


def _row_losses(run: Run, scores: Scores, truth: Targets) -> tuple[Floats, Floats]:
    """(N,) a field's losses row by row, as `field_loss` has their mean; (C, N) those of constants."""
    baseline = run.record.baseline
    if isinstance(run.space, LabelSet):
        gold = np.array([run.space.index(target) for target in truth])
        chosen = class_decisions(scores, run.space, run.reader_name)[run.record.decision].chosen
        majority = run.space.index(max(baseline["shares"], key=baseline["shares"].__getitem__))
        return (gold != chosen).astype(float), (gold != majority)[None].astype(float)
    wanted = np.array([float(target) for target in truth])
    values = number_decisions(scores, run.space, run.reader_name)[run.record.decision].values
    return np.abs(values - wanted), np.stack([np.abs(constant - wanted) for constant in baseline.values()])


def _of_field(options: PredictOptions, run: Run, labels: bool, numbers: bool) -> PredictOptions:
    """What of the options is meant for a field; what no field could take goes to all, and is refused there."""
    plain = PredictOptions()
    if isinstance(run.space, LabelSet) and numbers:
        return dataclasses.replace(options, interval=plain.interval, quantiles=(), above=())
    if not isinstance(run.space, LabelSet) and labels:
        return dataclasses.replace(options, top=None, abstain_below=None)
    return options
