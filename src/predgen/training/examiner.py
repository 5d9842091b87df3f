"""The dev rows' verdict, whatever the kind of answers: while training, and once it is over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from predgen.answers.spaces import Space
from predgen.config import AnswerKind, Switch
from predgen.data.columns import YES, TargetField
from predgen.decoding.slots import decide_slots
from predgen.evaluation import Targets, decision_metrics
from predgen.metrics import Baseline, baseline_metrics, check_metric, default_metric
from predgen.model.outputs import Scores
from predgen.record_metrics import checked_metric, field_loss, label_matrix, multilabel_metrics, skill
from predgen.training.calibration import Judged, judge
from predgen.training.dev_result import DevResult, RecordResult
from predgen.training.prepare import Say


@dataclass(frozen=True)
class Verdict:
    """The dev rows under the final weights.

    Args:
        fields: One for each answer that is given to a prompt.
        result: Over all of them.
    """

    fields: list[Judged]
    result: DevResult


@dataclass(frozen=True)
class Examined:
    """One of the answers that are given to the dev rows.

    Args:
        field: What it is.
        space: The answers.
        truth: The dev targets.
        baseline: What a constant prediction needs, of the training targets.
    """

    field: TargetField
    space: Space
    truth: Targets
    baseline: Baseline


class Examiner(ABC):
    """Scores of the dev rows → metrics, decisions, and what selects the checkpoint.

    Args:
        answers: What is examined.
        metric: What selects; None: the default of this kind.
    """

    metric: str

    def __init__(self, answers: Sequence[Examined], metric: str | None) -> None:
        self.answers = answers
        self.metric = self._checked(metric)

    @abstractmethod
    def _checked(self, metric: str | None) -> str:
        """The metric that selects.

        Raises:
            ConfigError: If it does not measure such answers.
        """

    @abstractmethod
    def dev(self, scores: Sequence[Scores], readers: Sequence[str | None]) -> DevResult:
        """What is found while training.

        Args:
            scores: Of the dev rows; one an answer.
            readers: What each answer's method calls its director or head.
        """

    def _metric_of(self, each: Examined) -> str:
        """What selects one answer's decision."""
        return default_metric(each.space)

    def verdict(self, scores: Sequence[Scores], readers: Sequence[str | None], calibrate: Switch, say: Say) -> Verdict:
        """Calibrates each answer, and examines again.

        Args:
            scores: Of the dev rows, as the method gave them.
            readers: As `dev` takes them.
            calibrate: Whether to.
            say: Takes one line at a time.
        """
        fields = []
        for each, part, reader in zip(self.answers, scores, readers, strict=True):
            fields.append(judge(part, each.space, reader, each.truth, self._metric_of(each), calibrate, say))
            say = _silent  # what is said of the first field holds for all
        return Verdict(fields, self.dev([field.result.scores[0] for field in fields], readers))


def _silent(line: str) -> None:
    """Says nothing."""


class SingleExaminer(Examiner):
    """One answer a row."""

    def _checked(self, metric: str | None) -> str:
        name = metric or default_metric(self.answers[0].space)
        check_metric(name, self.answers[0].space)
        return name

    def _metric_of(self, each: Examined) -> str:
        return self.metric

    def dev(self, scores: Sequence[Scores], readers: Sequence[str | None]) -> DevResult:
        """Every metric under every decision."""
        one = self.answers[0]
        return DevResult(decision_metrics(scores[0], one.space, readers[0], one.truth), self.metric, scores)


class RecordExaminer(Examiner):
    """The fields of a record, each decided by its own metric; their skill selects the checkpoint."""

    def _checked(self, metric: str | None) -> str:
        return checked_metric(metric, "record")

    def dev(self, scores: Sequence[Scores], readers: Sequence[str | None]) -> DevResult:
        """Every field's metrics under its decisions, and the skill of the best of each."""
        fields = {
            each.field.name: DevResult(
                decision_metrics(part, each.space, reader, each.truth), default_metric(each.space), [part]
            )
            for each, part, reader in zip(self.answers, scores, readers, strict=True)
        }
        losses = [field_loss(result.decisions[result.decision]) for result in fields.values()]
        constants = [
            min(map(field_loss, baseline_metrics(each.baseline, each.truth).values())) for each in self.answers
        ]
        return RecordResult(fields, self.metric, skill(losses, constants), scores)


class LabelsExaminer(Examiner):
    """Any number of labels: one decision for all of them."""

    def _checked(self, metric: str | None) -> str:
        return checked_metric(metric, "multilabel")

    def dev(self, scores: Sequence[Scores], readers: Sequence[str | None]) -> DevResult:
        """Every metric over all labels under every decision."""
        wanted = label_matrix([[target == YES for target in each.truth] for each in self.answers])
        one = self.answers[0]
        names = decision_metrics(scores[0], one.space, readers[0], one.truth)
        decisions = {name: multilabel_metrics(wanted, *decide_slots(scores, readers, name)) for name in names}
        return DevResult(decisions, self.metric, scores)


EXAMINERS: dict[AnswerKind, type[Examiner]] = {
    "single": SingleExaminer,
    "record": RecordExaminer,
    "multilabel": LabelsExaminer,
}
