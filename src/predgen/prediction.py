"""Scores and what was decided → typed predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from predgen.answers.spaces import LabelSet, Numbers
from predgen.decoding.decide import (
    ClassDecision,
    Floats,
    by_costs,
    by_thresholds,
    grid_quantile,
    number_distribution,
    probability_above,
    weighted_numbers,
)
from predgen.decoding.options import PredictOptions
from predgen.model.outputs import Scores


@dataclasses.dataclass(frozen=True)
class LabelPrediction:
    """A predicted label.

    Args:
        row: Position in the input, from 0.
        prediction: The label; None where the run was to abstain below a confidence, and did.
        probabilities: Of every label, summing to 1; or of the likeliest, where only so many were asked for.
        set: The labels that, together, hold the row's own with the probability that was asked for; 90% by default.
        covered: Where labels were searched for: the least share of the probability that was found; the rest is spread
            evenly over the labels not found, by their beginnings.
        close: True where the two likeliest lie within half precision's rounding; else None.
    """

    row: int
    prediction: str | None
    probabilities: dict[str, float]
    set: tuple[str, ...]
    covered: float | None = None
    close: bool | None = None


@dataclasses.dataclass(frozen=True)
class NumberPrediction:
    """A predicted number.

    Args:
        row: Position in the input, from 0.
        prediction: The number, as the run decides.
        mean: Of the exact posterior; without one the prediction.
        median: Of the exact posterior; without one the prediction.
        interval: Around the prediction, wide enough to hold the share of new rows that was asked for, 90% by default;
            wider where the posterior is. Or the posterior's own, if asked for.
        text: What was written where the space cannot be listed, its worked solution included; else None.
        quantiles: Level → the posterior's quantile, of the levels that were asked for; else None.
        above: Number → the posterior's probability of exceeding it, of those that were asked for; else None.
        covered: Where numbers were searched for: the least share of the probability that lies on numbers found; the
            rest lies on the middles of the stretches of numbers that were not opened.
        close: Of the decision `mode`: as for labels.
    """

    row: int
    prediction: float
    mean: float
    median: float
    interval: tuple[float, float]
    text: str | None = None
    quantiles: dict[str, float] | None = None
    above: dict[str, float] | None = None
    covered: float | None = None
    close: bool | None = None


@dataclasses.dataclass(frozen=True)
class RecordPrediction:
    """A predicted record.

    Args:
        row: Position in the input, from 0.
        prediction: Field → its label or number.
        fields: Field → what a prediction of it alone says besides: probabilities and set, or mean, median, interval, ….
    """

    row: int
    prediction: dict[str, str | float | None]
    fields: dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class LabelsPrediction:
    """Any number of labels.

    Args:
        row: Position in the input, from 0.
        prediction: The labels that the row has, in the order of the run's labels.
        probabilities: Label → the probability that the row has it; they need not sum to 1.
    """

    row: int
    prediction: tuple[str, ...]
    probabilities: dict[str, float]


@dataclasses.dataclass(frozen=True)
class RowError:
    """A row that could not be predicted.

    Args:
        row: Position in the input, from 0.
        error: Why.
    """

    row: int
    error: str


Prediction = LabelPrediction | NumberPrediction | RecordPrediction | LabelsPrediction | RowError


def to_json(prediction: Prediction) -> dict[str, Any]:
    """One JSON object a row, its keys the fields' names; what a kind of answer does not have is left out."""
    fields = dataclasses.asdict(prediction).items()
    return {name: value for name, value in fields if value is not None or name == "prediction"}


def label_predictions(
    decided: ClassDecision,
    held: NDArray[np.bool_],
    space: LabelSet,
    options: PredictOptions,
    rows: Sequence[int],
    covered: Tensor | None = None,
) -> list[LabelPrediction]:
    """Typed predictions under one decision, or what thresholds or costs make of its probabilities.

    Args:
        decided: N rows' choice and probabilities.
        held: (N, K); which labels are in each row's set.
        space: The labels.
        options: What was asked for.
        rows: N input positions.
        covered: (N,) where labels were searched for.
    """
    labels, chosen = space.labels, decided.chosen
    if options.thresholds:
        chosen = by_thresholds(decided.probabilities, labels, options.thresholds)
    elif options.costs is not None:
        chosen = by_costs(decided.probabilities, labels, options.costs)
    predictions = []
    for position, (row, index, probabilities) in enumerate(zip(rows, chosen, decided.probabilities, strict=True)):
        listed = np.arange(len(labels)) if options.top is None else (-probabilities).argsort(kind="stable")
        unsure = options.abstain_below is not None and probabilities[index] < options.abstain_below
        predictions.append(
            LabelPrediction(
                row=row,
                prediction=None if unsure else labels[index],
                probabilities={labels[place]: float(probabilities[place]) for place in listed[: options.top]},
                set=tuple(label for label, inside in zip(labels, held[position], strict=True) if inside),
                covered=None if covered is None else float(covered[position]),
            )
        )
    return predictions


def number_predictions(
    scores: Scores,
    space: Numbers,
    values: Floats,
    ends: tuple[Floats, Floats],
    options: PredictOptions,
    rows: Sequence[int],
    spell: Callable[[Sequence[int]], str],
) -> list[NumberPrediction]:
    """Typed predictions under one decision.

    Args:
        scores: Of N rows.
        space: The numbers.
        values: (N,) what was decided.
        ends: (N,) and (N,), of the intervals.
        options: What was asked for.
        rows: N input positions.
        spell: Token ids → text.
    """
    posterior = number_distribution(scores, space)
    texts: list[str | None] = [None] * len(rows)
    if scores.written is not None:
        texts = [spell([token for token in ids if token >= 0]).strip() for ids in scores.written.tolist()]
    quantiles, above = read_posterior(scores, space, options)
    predictions = []
    for position, row in enumerate(rows):
        value = float(values[position])
        predictions.append(
            NumberPrediction(
                row=row,
                prediction=value,
                mean=value if posterior is None else float(posterior.mean[position]),
                median=value if posterior is None else float(posterior.median[position]),
                interval=(float(ends[0][position]), float(ends[1][position])),
                text=texts[position],
                quantiles={name: float(column[position]) for name, column in quantiles.items()} or None,
                above={name: float(column[position]) for name, column in above.items()} or None,
                covered=None if scores.covered is None else float(scores.covered[position]),
            )
        )
    return predictions


def read_posterior(
    scores: Scores, space: Numbers, options: PredictOptions
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """The quantiles and the probabilities of exceeding a number that were asked for, (N,) each, by their names."""
    weighted = weighted_numbers(scores, space)
    if weighted is None or not (options.quantiles or options.above):
        return {}, {}
    values, posterior, _ = weighted
    return (
        {f"{level:g}": grid_quantile(posterior, values, level) for level in options.quantiles},
        {f"{number:g}": probability_above(posterior, values, number) for number in options.above},
    )
