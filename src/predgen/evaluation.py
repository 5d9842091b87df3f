"""Scores against targets: every decision a run allows, beside the baseline a constant would reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from predgen.answers.spaces import FreeNumber, LabelSet, Numbers, Space
from predgen.data.batches import pad_prompts
from predgen.data.tokens import decode
from predgen.decoding.decide import (
    class_decisions,
    grid_quantile,
    number_decisions,
    number_distribution,
    weighted_numbers,
)
from predgen.memory import out_of_memory
from predgen.metrics import classification_metrics, crps, interval_metrics, regression_metrics
from predgen.model.method import Method
from predgen.model.outputs import Scores
from predgen.processes import ALONE, Processes

Targets = Sequence[str] | Sequence[float]


@dataclass(frozen=True)
class Evaluation:
    """How a run did on some rows.

    Args:
        rows: How many.
        decision: The run's default decision.
        decisions: Decision name → metric name → value.
        baseline: Constant prediction's name → metric name → value.
        interval: Numbers: coverage and width of the 90% intervals, and of the posterior its CRPS and the coverage of
            its own central 90%. Classes: coverage and size of the 90% sets.
        outside_space: Share of rows whose unconstrained greedy text is no answer of the space; None without a writer.
        notes: What a reader should know of these rows.
        covered: Where answers were searched for: "mean" and "least" share of the probability that was found in a row.
    """

    rows: int
    decision: str
    decisions: dict[str, dict[str, float]]
    baseline: dict[str, dict[str, float]]
    interval: dict[str, float]
    outside_space: float | None
    notes: list[str] = field(default_factory=list)
    covered: dict[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON form, its keys the fields' names."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class RecordEvaluation:
    """How a run with several answers did on some rows.

    Args:
        rows: How many.
        kind: "record" or "multilabel".
        metric: What selected the run.
        value: That metric.
        fields: Field → its own evaluation.
        decision: Multi-label: the default decision of all labels; None of a record, whose fields have their own.
        decisions: Multi-label: decision → metrics over all labels.
        baseline: Multi-label: what constants reach over all labels.
        notes: What a reader should know of these rows.
    """

    rows: int
    kind: str
    metric: str
    value: float
    fields: dict[str, Evaluation]
    decision: str | None
    decisions: dict[str, dict[str, float]]
    baseline: dict[str, dict[str, float]]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """A JSON form, its keys the fields' names."""
        return {**self.__dict__, "fields": {name: each.to_json() for name, each in self.fields.items()}}


def decision_metrics(
    scores: Scores, space: Space, reader_name: str | None, truth: Targets
) -> dict[str, dict[str, float]]:
    """Every metric under every decision.

    Args:
        scores: Of N rows.
        space: The answers.
        reader_name: What the method calls its director or head.
        truth: N targets, as the rows have them.
    """
    if not isinstance(space, LabelSet):
        numbers = number_decisions(scores, space, reader_name)
        wanted, exact = [float(value) for value in truth], isinstance(space, FreeNumber)
        return {name: regression_metrics(wanted, decision.values.tolist(), exact) for name, decision in numbers.items()}
    classes = class_decisions(scores, space, reader_name)
    labels = [str(value) for value in truth]
    return {
        name: classification_metrics(
            labels,
            [space.labels[index] for index in decision.chosen],
            decision.probabilities,
            space.labels,
            space.ordered,
        )
        for name, decision in classes.items()
    }


def posterior_quality(scores: Scores, space: Numbers, truth: Targets) -> dict[str, float]:
    """The posterior's CRPS and the coverage of its own central 90% intervals; empty where there is no posterior."""
    posterior, weighted = number_distribution(scores, space), weighted_numbers(scores, space)
    if posterior is None or weighted is None:
        return {}
    wanted = [float(value) for value in truth]
    found = interval_metrics(wanted, posterior.low.tolist(), posterior.high.tolist())
    return {
        "crps": crps(wanted, weighted.probabilities, weighted.values),
        "posterior_coverage": found["coverage"],
        "posterior_width": found["width"],
    }


def coverage_of(scores: Scores) -> dict[str, float] | None:
    """Mean and least share of the probability that a search found; None where none was needed."""
    if scores.covered is None:
        return None
    return {"mean": float(scores.covered.mean()), "least": float(scores.covered.min())}


def set_quality(held: NDArray[np.bool_], labels: Sequence[str], truth: Targets) -> dict[str, float]:
    """Coverage (the share of rows whose own label is in their set) and mean size.

    Args:
        held: (N, K).
        labels: K labels.
        truth: N labels.
    """
    gold = np.array([labels.index(str(target)) for target in truth])
    return {"coverage": float(held[np.arange(len(gold)), gold].mean()), "size": float(held.sum(axis=1).mean())}


def interval_coverages(scores: Scores, grid: Numbers, truth: Sequence[float], levels: Sequence[float]) -> list[float]:
    """The share of rows within the posterior's central interval of each level.

    Args:
        scores: Of N rows, with a posterior.
        grid: The numbers.
        truth: N targets.
        levels: In (0, 1).
    """
    posterior, wanted = weighted_numbers(scores, grid), np.asarray(truth)
    assert posterior is not None
    values, probabilities, _ = posterior
    shares = []
    for level in levels:
        low, high = (grid_quantile(probabilities, values, (1 + side * level) / 2) for side in (-1, 1))
        shares.append(float(((wanted >= low) & (wanted <= high)).mean()))
    return shares


def share_outside_space(
    method: nn.Module,
    prompts: Sequence[Sequence[int]],
    space: Space,
    tokenizer: Any,
    batch_size: int,
    processes: Processes = ALONE,
) -> float | None:
    """The share of rows whose unconstrained greedy text is no answer of the space; None where nothing is written.

    Args:
        method: The fitted method.
        prompts: N token lists, N ≥ 1.
        space: The answers.
        tokenizer: Spells the tokens.
        batch_size: Most prompts a pass; halved where memory runs out.
        processes: Those that share the prompts.
    """
    device = next(method.parameters()).device
    mine = processes.mine(prompts)
    outside: int | None = 0
    start = 0
    while start < len(mine) and outside is not None:
        batch = pad_prompts(mine[start : start + batch_size])
        try:
            written = cast(Method[Any], method).write_freely(batch.prompt_ids.to(device), batch.prompt_mask.to(device))
        except (RuntimeError, MemoryError) as problem:
            if batch_size == 1 or not out_of_memory(problem):
                raise
            batch_size = (batch_size + 1) // 2
            continue
        start += batch_size
        if written is None:
            outside = None
        else:
            outside += sum(space.parse(decode(tokenizer, ids)) is None for ids in written)
    counts = processes.gathered(outside)
    return None if None in counts else sum(count for count in counts if count is not None) / len(prompts)
