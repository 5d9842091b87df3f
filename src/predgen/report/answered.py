"""One answer of every row that a run is judged on, in the terms that all sections share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from predgen.answers.spaces import FreeNumber, LabelSet
from predgen.decoding.conformal import difficulties_of
from predgen.decoding.decide import INTERVAL_LEVEL, class_decisions, number_decisions
from predgen.evaluation import Targets
from predgen.metrics import Baseline, regression_metrics
from predgen.model.outputs import Scores
from predgen.report.counted import CountedLabels
from predgen.report.text import brief, fixed, percent, short
from predgen.report.types import Floats, Indices, MetricsOf
from predgen.run import Run


@dataclass(frozen=True)
class Predicted:
    """What anything, the run or a baseline, says of N rows.

    Args:
        labels: (N,) positions of the chosen labels; None of numbers.
        probabilities: (N, K); None of numbers.
        values: (N,) numbers; None of labels.
    """

    labels: Indices | None = None
    probabilities: Floats | None = None
    values: Floats | None = None


class Answered(ABC):
    """N rows' answers beside their targets, under the run's default decision.

    Args:
        run: Of this answer alone.
        raw: Scores as the method gave them.
        scores: The same, calibrated.
        truth: N targets.
    """

    measure: str  # what `of_rows` is called, and its mean
    higher_is_better: bool
    is_share: bool  # whether `of_rows` is 1 or 0

    def __init__(self, run: Run, raw: Scores, scores: Scores, truth: Targets) -> None:
        self.run, self.raw, self.scores, self.truth = run, raw, scores, truth
        self.decision = run.record.decision

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def name(self) -> str:
        """What is predicted."""
        return self.run.record.target

    @property
    @abstractmethod
    def predicted(self) -> Predicted:
        """What the run says."""

    @property
    @abstractmethod
    def confidence(self) -> Floats | None:
        """(N,) higher where the run is surer; None where it does not say."""

    @abstractmethod
    def of_rows(self, predicted: Predicted) -> Floats:
        """(N,) how good or bad each row's prediction is: whether it is right, or how far off."""

    @abstractmethod
    def metrics_of(self, predicted: Predicted) -> MetricsOf:
        """Every metric, as a function of which rows count."""

    @abstractmethod
    def constants(self, baseline: Baseline) -> dict[str, Predicted]:
        """What constants say that were taken from the training targets, by their names."""

    @abstractmethod
    def told(self, place: int) -> list[tuple[str, str]]:
        """What the run says of one row, in words."""

    def given(self, place: int) -> str:
        """One row's target, in words."""
        target = self.truth[place]
        return short(target, 60) if isinstance(target, str) else brief(float(target))

    @abstractmethod
    def spell(self, predicted: Predicted, place: int) -> str:
        """A prediction of one row, in words."""


class AnsweredLabels(Answered):
    """As `Answered`, of labels."""

    measure, higher_is_better, is_share = "accuracy", True, True

    def __init__(self, run: Run, space: LabelSet, raw: Scores, scores: Scores, truth: Targets) -> None:
        super().__init__(run, raw, scores, truth)
        self.space = space
        self.gold: Indices = np.array([space.index(str(target)) for target in truth], dtype=np.int64)
        decided = class_decisions(scores, space, run.reader_name)[self.decision]
        self.chosen, self.probabilities = decided.chosen, decided.probabilities

    @property
    def predicted(self) -> Predicted:
        """As `Answered.predicted`."""
        return Predicted(labels=self.chosen, probabilities=self.probabilities)

    @property
    def confidence(self) -> Floats:
        """The chosen label's probability."""
        confidence: Floats = self.probabilities[np.arange(len(self)), self.chosen]
        return confidence

    def of_rows(self, predicted: Predicted) -> Floats:
        """1 where the label is right, else 0."""
        assert predicted.labels is not None
        return np.asarray(predicted.labels == self.gold, dtype=np.float64)

    def metrics_of(self, predicted: Predicted) -> MetricsOf:
        """As `Answered.metrics_of`."""
        assert predicted.labels is not None and predicted.probabilities is not None
        space = self.space
        return CountedLabels(self.gold, predicted.labels, predicted.probabilities, space.labels, space.ordered)

    def constants(self, baseline: Baseline) -> dict[str, Predicted]:
        """The commonest label of the training rows, with all labels' shares as its probabilities."""
        shares = np.array([baseline["shares"][label] for label in self.space.labels])
        chosen = np.full(len(self), int(shares.argmax()), dtype=np.int64)
        return {"majority": Predicted(labels=chosen, probabilities=np.tile(shares, (len(self), 1)))}

    def told(self, place: int) -> list[tuple[str, str]]:
        """Chosen label and its probability, and that of the row's own."""
        own, chosen = self.gold[place], self.chosen[place]
        pairs = [
            ("given", self.given(place)),
            ("predicted", f"{short(self.space.labels[chosen], 60)} ({percent(self.probabilities[place, chosen])})"),
        ]
        if own != chosen:
            pairs.append(("p(given)", percent(float(self.probabilities[place, own]), 1)))
        return pairs

    def spell(self, predicted: Predicted, place: int) -> str:
        """The label and its probability."""
        assert predicted.labels is not None and predicted.probabilities is not None
        label = predicted.labels[place]
        return f"{short(self.space.labels[label], 60)} ({percent(float(predicted.probabilities[place, label]))})"


class AnsweredNumbers(Answered):
    """As `Answered`, of numbers."""

    measure, higher_is_better, is_share = "mean absolute error", False, False

    def __init__(self, run: Run, raw: Scores, scores: Scores, truth: Targets) -> None:
        super().__init__(run, raw, scores, truth)
        assert not isinstance(run.space, LabelSet)
        self.space = run.space
        self.wanted: Floats = np.array([float(target) for target in truth], dtype=np.float64)
        self.values: Floats = number_decisions(scores, run.space, run.reader_name)[self.decision].values
        self.low, self.high = run.intervals(scores, self.values)

    @property
    def predicted(self) -> Predicted:
        """As `Answered.predicted`."""
        return Predicted(values=self.values)

    @property
    def deviation(self) -> Floats | None:
        """(N,) the posterior's standard deviation; None where there is no posterior."""
        return difficulties_of(self.scores, self.space)

    @property
    def confidence(self) -> Floats | None:
        """Less, the wider the posterior."""
        deviation = self.deviation
        return None if deviation is None else -deviation

    def of_rows(self, predicted: Predicted) -> Floats:
        """How far off, without the sign."""
        assert predicted.values is not None
        return np.abs(predicted.values - self.wanted)

    def metrics_of(self, predicted: Predicted) -> MetricsOf:
        """As `Answered.metrics_of`."""
        assert predicted.values is not None
        values, exact = predicted.values, isinstance(self.space, FreeNumber)
        return lambda rows: regression_metrics(self.wanted[rows].tolist(), values[rows].tolist(), exact)

    def constants(self, baseline: Baseline) -> dict[str, Predicted]:
        """Mean, median, and of free numbers the commonest, of the training rows."""
        return {name: Predicted(values=np.full(len(self), float(value))) for name, value in baseline.items()}

    def told(self, place: int) -> list[tuple[str, str]]:
        """Number and interval."""
        return [
            ("given", self.given(place)),
            ("predicted", brief(float(self.values[place]))),
            (
                f"{percent(INTERVAL_LEVEL)} interval",
                f"{brief(float(self.low[place]))} to {brief(float(self.high[place]))}",
            ),
            ("off by", fixed(float(self.of_rows(self.predicted)[place]), 2)),
        ]

    def spell(self, predicted: Predicted, place: int) -> str:
        """The number."""
        assert predicted.values is not None
        return brief(round(float(predicted.values[place]), 3))


def answered(run: Run, raw: Scores, scores: Scores, truth: Targets) -> AnsweredLabels | AnsweredNumbers:
    """The kind that the run's answers ask for."""
    if isinstance(run.space, LabelSet):
        return AnsweredLabels(run, run.space, raw, scores, truth)
    return AnsweredNumbers(run, raw, scores, truth)


def names_of(answers: Sequence[Answered]) -> str:
    """What is predicted, in one line."""
    names = [short(each.name, 40) for each in answers]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
