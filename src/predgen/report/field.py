"""One answer with all that its sections need: the run's, the baselines', and how sure their figures are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from predgen.report.answered import Answered, Predicted, answered
from predgen.report.bootstrap import Resampled
from predgen.report.linear import NAME, Labelled, Linear, fit_linear
from predgen.report.material import Material, Rows
from predgen.report.text import short

FEW = 30  # rows below which a figure is shown faintly
_RUN = "run"
_MANY_ROWS, _FEWER = 5000, 200


@dataclass(frozen=True)
class Field:
    """One answer.

    Args:
        place: Its position among the run's answers.
        answers: What the run says of the rows that it is judged on.
        linear: The linear baseline; or why there is none.
        constants: What constants say, by their names.
        resampled: The metrics of all of them on the same resampled rows, by the names of `systems`.
        metric: What the run was selected by, if it is one of the answer's own; else its measure's.
    """

    place: int
    answers: Answered
    linear: Linear | str
    constants: dict[str, Predicted]
    resampled: Resampled
    metric: str

    @property
    def systems(self) -> dict[str, str]:
        """Names in `resampled` → what a reader calls them, the run first."""
        names = {_RUN: f"this run ({self.answers.decision})"}
        names |= {name: f"constant: {name}" for name in self.constants}
        if isinstance(self.linear, Linear):
            names[NAME] = NAME
        return names

    @property
    def run(self) -> str:
        """The run's name in `resampled`."""
        return _RUN

    @property
    def best_constant(self) -> str:
        """The constant that is best by the answer's measure."""
        sign = 1 if self.answers.higher_is_better else -1
        return max(self.constants, key=lambda name: sign * self.answers.of_rows(self.constants[name]).mean())

    @property
    def title(self) -> str:
        """What is predicted."""
        return short(self.answers.name, 60)


def make_field(material: Material, place: int, say: Callable[[str], None]) -> Field:
    """Fits the baselines of one answer and resamples.

    Args:
        material: What the report is made of.
        place: The answer's position.
        say: Takes one line at a time.
    """
    judged, run = material.judged, list(material.run.parts.values())[place]
    answers = answered(run, judged.raw[place], judged.scores[place], judged.rows.truth[place])
    train, dev = material.parts.get("train"), material.parts.get("dev")
    linear: Linear | str = "The training rows are not at hand, so that no linear model can be fitted on them."
    if train is not None:
        say(f"{answers.name}: fitting TF-IDF and a linear model.")
        held_out = None if dev is None else _labelled(dev, place)
        linear = fit_linear(run.space, judged.rows.bodies, _labelled(train, place), held_out, material.seed)
    constants = answers.constants(run.record.baseline)
    systems = {_RUN: answers.predicted, **constants}
    if isinstance(linear, Linear):
        systems[NAME] = linear.predicted
    rows = len(answers)
    resamples = material.resamples if rows <= _MANY_ROWS else min(material.resamples, _FEWER)
    resampled = Resampled(
        {name: answers.metrics_of(predicted) for name, predicted in systems.items()}, rows, resamples, material.seed
    )
    own = answers.metrics_of(answers.predicted)(np.arange(rows))
    metric = run.record.metric if run.record.metric in own else ("accuracy" if answers.is_share else "mae")
    return Field(place, answers, linear, constants, resampled, metric)


def _labelled(rows: Rows, place: int) -> Labelled:
    return Labelled(rows.bodies, rows.truth[place])
