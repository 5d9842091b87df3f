"""Distribution → decision. Which one is best follows from the metric, so each is offered under its own name.

Classes: "mode" (likeliest label), "greedy" (likeliest token after token), and the director's or head's choice.
Numbers: "mean" (best for squared error), "median" (best for absolute error), "mode", "greedy", and the director's or
head's value. All of them lie within the answer space. Of numbers that cannot be listed there is no distribution:
"greedy" is what was written, and the director's or head's value is rounded as the space writes numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from predgen.answers.spaces import LabelSet, NumberGrid, Numbers, Space
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
    """What the posterior over a grid says of each row."""

    mean: Floats  # (N,)
    median: Floats  # (N,)
    low: Floats  # (N,) lower end of the central 90% interval
    high: Floats  # (N,) its upper end


def class_decisions(scores: Scores, reader_name: str | None) -> dict[str, ClassDecision]:
    """Every decision over labels that the scores allow.

    Args:
        scores: Of N rows over K labels.
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
    if scores.log_posterior is not None and scores.greedy is not None and isinstance(space, NumberGrid):
        posterior, values = _probabilities(scores.log_posterior), np.array(space.values)
        decisions["mean"] = NumberDecision(posterior @ values)
        decisions["median"] = NumberDecision(grid_quantile(posterior, values, 0.5))
        decisions["mode"] = NumberDecision(values[posterior.argmax(axis=1)])
        decisions["greedy"] = NumberDecision(values[scores.greedy.cpu().numpy()])
    if scores.value is not None and reader_name is not None:
        decisions[reader_name] = NumberDecision(space.admit(scores.value.double().cpu().numpy()))
    return decisions


def decisions_for(
    scores: Scores, space: Space, reader_name: str | None
) -> dict[str, ClassDecision] | dict[str, NumberDecision]:
    """`class_decisions` or `number_decisions`, as the space asks."""
    if isinstance(space, LabelSet):
        return class_decisions(scores, reader_name)
    return number_decisions(scores, space, reader_name)


def number_distribution(scores: Scores, space: Numbers) -> NumberDistribution | None:
    """Mean, median and central 90% interval of the posterior; None without a posterior."""
    if scores.log_posterior is None or not isinstance(space, NumberGrid):
        return None
    posterior, values = _probabilities(scores.log_posterior), np.array(space.values)
    tail = (1.0 - INTERVAL_LEVEL) / 2
    return NumberDistribution(
        mean=posterior @ values,
        median=grid_quantile(posterior, values, 0.5),
        low=grid_quantile(posterior, values, tail),
        high=grid_quantile(posterior, values, 1.0 - tail),
    )


def posterior_probabilities(scores: Scores) -> Floats:
    """(N, A) the posterior, in float64.

    Raises:
        ValueError: If the scores hold none.
    """
    if scores.log_posterior is None:
        raise ValueError("These scores hold no posterior.")
    return _probabilities(scores.log_posterior)


def grid_quantile(probabilities: Floats, values: Floats, level: float) -> Floats:
    """The smallest grid value at which the cumulative probability reaches a level.

    Args:
        probabilities: (N, A), rows sum to 1.
        values: (A,), ascending.
        level: In (0, 1).

    Returns:
        (N,).
    """
    reached = np.cumsum(probabilities, axis=1) >= level - 1e-12  # rounding must not push a tie one step up
    # Where rounding keeps the last sum below the level, the last value is meant.
    reached[:, -1] = True
    quantile: Floats = values[reached.argmax(axis=1)]
    return quantile


def residual_radius(truth: Floats, predicted: Floats, level: float = INTERVAL_LEVEL) -> float:
    """The half width of an interval that holds a stated share of new rows, from held-out residuals.

    Split conformal prediction (Lei et al. 2018): the ⌈(n + 1) · level⌉-th smallest absolute residual, or the largest
    where n is too small for that.

    Args:
        truth: (n,) targets of rows that were not trained on.
        predicted: (n,) predictions for them.
        level: In (0, 1).
    """
    residuals = np.sort(np.abs(truth - predicted))
    rank = min(len(residuals), int(np.ceil((len(residuals) + 1) * level)))
    return float(residuals[rank - 1])


def _probabilities(log_probabilities: object) -> Floats:
    """(N, K) tensor of log-probabilities → numpy, renormalised in float64."""
    logs = np.asarray(log_probabilities.double().cpu().numpy())  # type: ignore[attr-defined]
    exp = np.exp(logs - logs.max(axis=1, keepdims=True))
    normalised: Floats = exp / exp.sum(axis=1, keepdims=True)
    return normalised
