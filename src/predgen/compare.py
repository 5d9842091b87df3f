"""Are two runs really different? The same rows, a paired bootstrap over them, and a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from predgen.base_run import BaseRun, MetricOf
from predgen.data.columns import TargetField
from predgen.errors import DataError
from predgen.evaluate import choose_rows, read_scored, read_truth

LEVEL = 0.95


@dataclass(frozen=True)
class Compared:
    """One run among those compared.

    Args:
        run: Its folder.
        method: How it was trained.
        decision: What its predictions are.
        value: The metric on all rows.
        low: Lower end of its 95% bootstrap interval.
        high: Upper end.
        difference: To the first run, as value minus value.
        difference_low: Lower end of its 95% interval; resampled rows are the same for both runs.
        difference_high: Upper end.
        p: Two-sided bootstrap p-value of no difference; None for the first run.
    """

    run: str
    method: str
    decision: str
    value: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    p: float | None


@dataclass(frozen=True)
class Comparison:
    """Runs on the same rows.

    Args:
        metric: What is compared.
        rows: On how many rows.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        runs: In the order asked for; the first is what the others are compared with.
        notes: Which rows, and what a reader should know of them.
    """

    metric: str
    rows: int
    resamples: int
    seed: int
    runs: list[Compared]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """A JSON form, its keys the fields' names."""
        return asdict(self)


def compare(
    folders: Sequence[Path],
    load_run: Callable[[Path], BaseRun],
    source: str,
    metric: str | None = None,
    split: str = "auto",
    resamples: int = 2000,
    seed: int = 0,
    root: str | Path | None = None,
) -> Comparison:
    """Scores runs on the rows that all of them may be scored on, each under its default decision.

    Args:
        folders: At least two run folders.
        load_run: Loads one; called one after another, so that only one is in memory.
        source: As `read_scored` takes it.
        metric: What to compare by; None: what the first run was selected by.
        split: As `evaluate_source` takes it.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        root: As `read_table` takes it.

    Raises:
        DataError: If the runs answer different questions, share no rows, or a row has a label that they do not know.
        ConfigError: If the metric does not suit them.
    """
    if len(folders) < 2:
        raise DataError(f"{len(folders)} run was named.", "Two or more can be compared.")
    table = read_scored(source, split, root)
    choices = [choose_rows(folder, table, split) for folder in folders]
    numbers = sorted(set.intersection(*(set(chosen) for chosen, _ in choices)))
    if not numbers:
        raise DataError("No row is a test row of all these runs.", remedy="Compare on rows that none was fitted on.")
    notes = list(dict.fromkeys([*table.notes, *(note for _, note in choices if note)]))
    if any(len(chosen) != len(numbers) for chosen, _ in choices):
        notes.append(f"The runs were split differently: the {len(numbers)} rows are those that all of them allow.")
    metrics, facts = list[MetricOf](), list[tuple[str, str, str]]()
    question: tuple[TargetField, ...] | None = None
    for folder in folders:
        run = load_run(folder)
        if question is not None and run.targets != question:
            asked, other = (
                ", ".join(f"{each.name!r} ({each.task})" for each in each_run) for each_run in (run.targets, question)
            )
            raise DataError(f"{folder} predicts {asked}, the first run {other}.")
        question = run.targets
        metric = metric or run.metric
        rows, truth = read_truth(run, table, numbers)
        scores = run.score_answers([run.body(row) for row in rows])
        metrics.append(run.metric_over(scores, truth, metric))
        decisions = dict.fromkeys(part.record.decision for part in run.parts.values())
        facts.append((str(folder), run.method_name, ", ".join(decisions)))
    assert metric is not None
    compared = _bootstrap(metrics, facts, len(numbers), resamples, seed)
    return Comparison(metric, len(numbers), resamples, seed, compared, notes)


class Difference(NamedTuple):
    """What a paired bootstrap says of a difference: the ends of its 95% interval, and the two-sided p of none."""

    low: float
    high: float
    p: float


def paired_difference(values: NDArray[np.float64], others: NDArray[np.float64]) -> Difference:
    """Of a metric of two systems on the same resamples.

    Args:
        values: (B,), the metric of one on each of B resamples.
        others: (B,), of the other on the very same.

    Returns:
        NaN throughout where no resample has a difference, as of the correlation of a constant.
    """
    differences = values - others
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return Difference(math.nan, math.nan, math.nan)
    # One is added on both sides: of finitely many resamples none can show a p of 0.
    tail = min((differences <= 0).sum(), (differences >= 0).sum())
    return Difference(*interval(differences), min(1.0, 2 * (float(tail) + 1) / (len(differences) + 1)))


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The ends of the 95% percentile interval of resampled values, NaN aside."""
    if np.isnan(values).all():
        return math.nan, math.nan
    low, high = np.nanpercentile(values, [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2])
    return float(low), float(high)


def _bootstrap(
    metrics: Sequence[MetricOf], facts: Sequence[tuple[str, str, str]], rows: int, resamples: int, seed: int
) -> list[Compared]:
    chance, everything = np.random.default_rng(seed), np.arange(rows)
    values = np.array([metric(everything) for metric in metrics])
    drawn = np.empty((resamples, len(metrics)))
    for number in range(resamples):
        chosen = chance.integers(0, rows, rows)  # the same rows for all runs: that is what pairs them
        drawn[number] = [metric(chosen) for metric in metrics]
    compared = []
    for place, (run, method, decision) in enumerate(facts):
        low, high = interval(drawn[:, place])
        difference = paired_difference(drawn[:, place], drawn[:, 0])
        compared.append(
            Compared(
                run=run,
                method=method,
                decision=decision,
                value=float(values[place]),
                low=low,
                high=high,
                difference=float(values[place] - values[0]),
                difference_low=difference.low,
                difference_high=difference.high,
                p=difference.p if place else None,
            )
        )
    return compared
