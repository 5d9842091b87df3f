"""Are two runs really different? The same rows, a paired bootstrap over them, and a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predgen.answers.spaces import FreeNumber, LabelSet
from predgen.data.schema import read_targets
from predgen.data.sources import read_table
from predgen.decoding.decide import class_decisions, number_decisions
from predgen.errors import DataError
from predgen.evaluate import choose_rows, target_column
from predgen.evaluation import Targets
from predgen.metrics import check_metric, classification_metrics, regression_metrics
from predgen.run import Run

LEVEL = 0.95
MetricOf = Callable[[NDArray[np.int64]], float]


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
    load_run: Callable[[Path], Run],
    source: str,
    metric: str | None = None,
    split: str = "auto",
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Scores runs on the rows that all of them may be scored on, each under its default decision.

    Args:
        folders: At least two run folders.
        load_run: Loads one; called one after another, so that only one is in memory.
        source: A file or a named source.
        metric: What to compare by; None: what the first run was selected by.
        split: As `evaluate_source` takes it.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        DataError: If the runs answer different questions, or share no rows.
        ConfigError: If the metric does not suit them.
    """
    if len(folders) < 2:
        raise DataError(f"{len(folders)} run was named.", "Two or more can be compared.")
    table = read_table(source)
    choices = [choose_rows(folder, table, split) for folder in folders]
    numbers = sorted(set.intersection(*(set(chosen) for chosen, _ in choices)))
    if not numbers:
        raise DataError("No row is a test row of all these runs.", remedy="Compare on rows that none was fitted on.")
    notes = list(dict.fromkeys(note for _, note in choices if note))
    if any(len(chosen) != len(numbers) for chosen, _ in choices):
        notes.append(f"The runs were split differently: the {len(numbers)} rows are those that all of them allow.")
    rows = [table.good_rows[number] for number in numbers]
    metrics, facts, question = list[MetricOf](), list[tuple[str, str, str]](), None
    for folder in folders:
        run = load_run(folder)
        target = target_column(run, table)
        if question is not None and (run.record.task, target) != question:
            raise DataError(f"{folder} predicts {target!r} ({run.record.task}), the first run {question[1]!r}.")
        question = (run.record.task, target)
        metric = metric or run.record.metric
        check_metric(metric, run.space)
        truth = read_targets(rows, target, run.record.task, run.marker)
        metrics.append(_metric_of(run, [run.body(row) for row in rows], truth, metric))
        facts.append((str(folder), str(run.record.config["method"]), run.record.decision))
    assert metric is not None
    return Comparison(metric, len(rows), resamples, seed, _bootstrap(metrics, facts, len(rows), resamples, seed), notes)


def _metric_of(run: Run, bodies: Sequence[str], truth: Targets, metric: str) -> MetricOf:
    """The run's metric on any choice of the rows, repeats included."""
    scores = run.score(bodies)
    if not isinstance(run.space, LabelSet):
        values = number_decisions(scores, run.space, run.reader_name)[run.record.decision].values
        wanted, exact = np.array([float(value) for value in truth]), isinstance(run.space, FreeNumber)
        return lambda chosen: regression_metrics(wanted[chosen].tolist(), values[chosen].tolist(), exact)[metric]
    decided = class_decisions(scores, run.space, run.reader_name)[run.record.decision]
    labels, ordered = run.space.labels, run.space.ordered
    gold = np.array([str(value) for value in truth], dtype=object)
    predicted = np.array([labels[index] for index in decided.chosen], dtype=object)
    return lambda chosen: classification_metrics(
        gold[chosen].tolist(), predicted[chosen].tolist(), decided.probabilities[chosen], labels, ordered
    )[metric]


def _bootstrap(
    metrics: Sequence[MetricOf], facts: Sequence[tuple[str, str, str]], rows: int, resamples: int, seed: int
) -> list[Compared]:
    chance, everything = np.random.default_rng(seed), np.arange(rows)
    values = np.array([metric(everything) for metric in metrics])
    drawn = np.empty((resamples, len(metrics)))
    for number in range(resamples):
        chosen = chance.integers(0, rows, rows)  # the same rows for all runs: that is what pairs them
        drawn[number] = [metric(chosen) for metric in metrics]
    ends = [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2]
    compared = []
    for place, (run, method, decision) in enumerate(facts):
        low, high = np.nanpercentile(drawn[:, place], ends)
        differences = drawn[:, place] - drawn[:, 0]
        difference_low, difference_high = np.nanpercentile(differences, ends)
        # One is added on both sides: of finitely many resamples none can show a p of 0.
        tail = min((differences <= 0).sum(), (differences >= 0).sum())
        p = min(1.0, 2 * (float(tail) + 1) / (resamples + 1)) if place else None
        compared.append(
            Compared(
                run=run,
                method=method,
                decision=decision,
                value=float(values[place]),
                low=float(low),
                high=float(high),
                difference=float(values[place] - values[0]),
                difference_low=float(difference_low),
                difference_high=float(difference_high),
                p=p,
            )
        )
    return compared
