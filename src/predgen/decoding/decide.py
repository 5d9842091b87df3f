"""Distribution → decision. Which one is best follows from the metric, so each is offered under its own name.

Classes: "mode" (likeliest label), "greedy" (likeliest token after token), the director's or head's choice, and "mixed":
writer and director together, as dev rows weigh them. Ordered labels also have a "median" (half of the probability on
either side) and a "rank" (the label nearest to the mean position).
Numbers: "mean" (best for squared error), "median" (best for absolute error), "mode", "greedy", the director's or head's
value, and "mixed". All of them lie within the answer space. Of numbers that cannot be listed there is no distribution
unless answers are drawn: "greedy" is what was written, and the director's or head's value is rounded as the space
writes numbers. Where a distribution is held by a few numbers a row (`Support`), those stand in place of a grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from predgen.answers.spaces import FreeNumber, Grid, LabelSet, Numbers, Space
from predgen.decoding.support import Weighted
from predgen.model.outputs import Scores

Floats = NDArray[np.float64]
INTERVAL_LEVEL = 0.9


class ClassDecision(NamedTuple):
    """N rows decided among K labels."""

    chosen: NDArray[np.int64]  # (N,) positions in the label set
    probabilities: Floats  # (N, K), rows sum to 1


class NumberDecision(NamedTuple):
    """N rows decided as numbers."""

    values: Floats  # (N,)


class NumberDistribution(NamedTuple):
    """What the posterior says of each row."""

    mean: Floats  # (N,)
    median: Floats  # (N,)
    deviation: Floats  # (N,) standard deviation; at least half a step, since no grid knows less
    low: Floats  # (N,) lower end of the central 90% interval
    high: Floats  # (N,) its upper end


def class_decisions(scores: Scores, space: LabelSet, reader_name: str | None) -> dict[str, ClassDecision]:
    """Every decision over labels that the scores allow.

    Args:
        scores: Of N rows over K labels.
        space: The labels.
        reader_name: What the method calls its director or head.
    """
    decisions = {}
    if scores.log_posterior is not None and scores.greedy is not None:
        posterior = _probabilities(scores.log_posterior)
        decisions["mode"] = ClassDecision(posterior.argmax(axis=1), posterior)
        decisions["greedy"] = ClassDecision(scores.greedy.cpu().numpy(), posterior)
    if scores.class_logits is not None and reader_name is not None:
        probabilities = _probabilities(scores.class_logits.log_softmax(dim=1))
        decisions[reader_name] = ClassDecision(probabilities.argmax(axis=1), probabilities)
    if scores.mixed_logits is not None:
        probabilities = _probabilities(scores.mixed_logits.log_softmax(dim=1))
        decisions["mixed"] = ClassDecision(probabilities.argmax(axis=1), probabilities)
    if space.ordered and decisions:
        # Of the best informed probabilities there are: with both parts together, or the one there is.
        probabilities = decisions[
            next(name for name in ("mixed", "mode", reader_name) if name in decisions)
        ].probabilities
        ranks = np.arange(len(space.labels), dtype=np.float64)
        decisions["median"] = ClassDecision(grid_quantile(probabilities, ranks, 0.5).astype(np.int64), probabilities)
        decisions["rank"] = ClassDecision(np.rint(probabilities @ ranks).astype(np.int64), probabilities)
    return decisions


def number_decisions(scores: Scores, space: Numbers, reader_name: str | None) -> dict[str, NumberDecision]:
    """Every decision over numbers that the scores allow; a director's or head's value is brought into the space.

    Args:
        scores: Of N rows.
        space: The answer space.
        reader_name: What the method calls its director or head.
    """
    decisions = {}
    if scores.number is not None:
        decisions["greedy"] = NumberDecision(scores.number.double().cpu().numpy())
    if (posterior := weighted_numbers(scores, space)) is not None:
        values, probabilities, modes = posterior
        decisions["mean"] = NumberDecision(expectation(probabilities, values))
        decisions["median"] = NumberDecision(grid_quantile(probabilities, values, 0.5))
        decisions["mode"] = NumberDecision(modes)
        if scores.greedy is not None and not isinstance(space, FreeNumber):
            decisions["greedy"] = NumberDecision(space.numbers[scores.greedy.cpu().numpy()])
    if scores.value is not None and reader_name is not None:
        decisions[reader_name] = NumberDecision(space.admit(scores.value.double().cpu().numpy()))
    if scores.mixed_value is not None:
        decisions["mixed"] = NumberDecision(space.admit(scores.mixed_value.double().cpu().numpy()))
    return decisions


def decisions_for(
    scores: Scores, space: Space, reader_name: str | None
) -> dict[str, ClassDecision] | dict[str, NumberDecision]:
    """`class_decisions` or `number_decisions`, as the space asks."""
    if isinstance(space, LabelSet):
        return class_decisions(scores, space, reader_name)
    return number_decisions(scores, space, reader_name)


def number_distribution(scores: Scores, space: Numbers) -> NumberDistribution | None:
    """Mean, median and central 90% interval of the posterior; None without a posterior."""
    posterior = weighted_numbers(scores, space)
    if posterior is None:
        return None
    values, probabilities, _ = posterior
    tail, mean = (1.0 - INTERVAL_LEVEL) / 2, expectation(probabilities, values)
    median = grid_quantile(probabilities, values, 0.5)
    variance = expectation(probabilities, values**2) - mean**2
    return NumberDistribution(
        mean=mean,
        median=median,
        deviation=np.sqrt(np.maximum(variance, (_step_at(space, median) / 2) ** 2)),
        low=grid_quantile(probabilities, values, tail),
        high=grid_quantile(probabilities, values, 1.0 - tail),
    )


def weighted_numbers(scores: Scores, space: Numbers) -> Weighted | None:
    """The posterior over a grid, or over the numbers that were found or drawn; None without either."""
    if scores.support is not None:
        support = scores.support.cpu()
        return Weighted(support.values.numpy(), _probabilities(support.log_probs), support.modes)
    if scores.log_posterior is None or not isinstance(space, Grid):
        return None
    posterior, values = _probabilities(scores.log_posterior), space.numbers
    return Weighted(values, posterior, values[posterior.argmax(axis=1)])


def _step_at(space: Numbers, values: Floats) -> Floats:
    """(N,) the distance to the next number that the space has."""
    if isinstance(space, FreeNumber):
        return np.full(len(values), 10.0**-space.decimals)
    right = np.clip(np.searchsorted(space.numbers, values), 1, len(space) - 1)
    return np.asarray(space.numbers[right] - space.numbers[right - 1])


def by_thresholds(probabilities: Floats, labels: Sequence[str], thresholds: Mapping[str, float]) -> NDArray[np.int64]:
    """(N,) positions: of the labels that reach their threshold the furthest above; else the likeliest without one.

    With one threshold on one of two labels it is the familiar rule: that label from the threshold on.

    Args:
        probabilities: (N, K).
        labels: K labels.
        thresholds: Label → in [0, 1]; at least one label has none.
    """
    limits = np.array([max(thresholds.get(label, np.inf), 1e-12) for label in labels])
    ratios = probabilities / limits
    free = np.where(np.isinf(limits), probabilities, -1.0)
    chosen: NDArray[np.int64] = np.where((ratios >= 1.0).any(axis=1), ratios.argmax(axis=1), free.argmax(axis=1))
    return chosen


def by_costs(
    probabilities: Floats, labels: Sequence[str], costs: Mapping[str, Mapping[str, float]]
) -> NDArray[np.int64]:
    """(N,) positions of the labels of least expected cost (Elkan 2001).

    Args:
        probabilities: (N, K).
        labels: K labels.
        costs: True label → predicted label → cost; left out: 1, or 0 for a right answer.
    """
    matrix = np.array(
        [[costs.get(true, {}).get(predicted, float(true != predicted)) for predicted in labels] for true in labels]
    )
    chosen: NDArray[np.int64] = (probabilities @ matrix).argmin(axis=1)
    return chosen


def highest_density(probabilities: Floats, values: Floats, level: float) -> tuple[Floats, Floats]:
    """The shortest interval of the grid that holds at least a stated probability; of several the likeliest.

    Args:
        probabilities: (N, A), rows sum to 1.
        values: (A,) or (N, A), ascending.
        level: In (0, 1).

    Returns:
        Lower and upper ends, (N,) each, both in the interval.
    """
    ends = np.empty((len(probabilities), 2))
    start = np.arange(values.shape[-1])
    for row, (mass, numbers) in enumerate(
        zip(probabilities, np.broadcast_to(values, probabilities.shape), strict=True)
    ):
        before = np.concatenate([[0.0], np.cumsum(mass)])
        # Rounding must not ask for more than the sum has.
        stop = np.searchsorted(before, np.minimum(before[start] + level, before[-1]) - 1e-12)
        enough = before[stop] - before[start] >= level - 1e-9
        width = np.where(enough, numbers[stop - 1] - numbers[start], np.inf)
        best = np.lexsort((before[start] - before[stop], width))[0]
        ends[row] = numbers[best], numbers[stop[best] - 1]
    return ends[:, 0], ends[:, 1]


def probability_above(probabilities: Floats, values: Floats, threshold: float) -> Floats:
    """(N,): P(number > threshold).

    Args:
        probabilities: (N, A), rows sum to 1.
        values: (A,) or (N, A).
        threshold: Any number.
    """
    return expectation(probabilities, (values > threshold).astype(np.float64))


def expectation(probabilities: Floats, values: Floats) -> Floats:
    """(N,) means of (A,) or (N, A) values under (N, A) probabilities."""
    mean: Floats = probabilities @ values if values.ndim == 1 else (probabilities * values).sum(axis=1)
    return mean


def grid_quantile(probabilities: Floats, values: Floats, level: float) -> Floats:
    """The smallest grid value at which the cumulative probability reaches a level.

    Args:
        probabilities: (N, A), rows sum to 1.
        values: (A,) or (N, A), ascending.
        level: In (0, 1).

    Returns:
        (N,).
    """
    reached = np.cumsum(probabilities, axis=1) >= level - 1e-12  # rounding must not push a tie one step up
    # Where rounding keeps the last sum below the level, the last value is meant.
    reached[:, -1] = True
    place = reached.argmax(axis=1)
    quantile: Floats = values[place] if values.ndim == 1 else values[np.arange(len(place)), place]
    return quantile


def _probabilities(log_probabilities: object) -> Floats:
    """(N, K) tensor of log-probabilities → numpy, renormalised in float64."""
    logs = np.asarray(log_probabilities.double().cpu().numpy())  # type: ignore[attr-defined]
    exp = np.exp(logs - logs.max(axis=1, keepdims=True))
    normalised: Floats = exp / exp.sum(axis=1, keepdims=True)
    return normalised
