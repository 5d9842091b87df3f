"""How good the run is, beside constants and a linear model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from predgen.evaluation import Evaluation
from predgen.metrics import METRICS
from predgen.report.blocks import Block, Figure, Listing, Notice, Paragraph, Section, Table
from predgen.report.bootstrap import Interval
from predgen.report.charts.whiskers import Whisker, whisker_chart
from predgen.report.field import Field
from predgen.report.linear import NAME, Linear
from predgen.report.text import between, count, fixed, percent

_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "balanced_accuracy": "balanced acc.",
    "mcc": "MCC",
    "quadratic_kappa": "quadratic κ",
    "log_loss": "log loss",
    "ece": "ECE",
    "exact_match": "exact match",
    "mae": "MAE",
    "mse": "MSE",
    "rmse": "RMSE",
    "r2": "R²",
    "pearson": "Pearson",
    "spearman": "Spearman",
}


def quality_section(field: Field, evaluation: Evaluation, said_above: bool) -> Section:
    """The metrics of the default decision with their intervals, of the others without; and what baselines reach.

    Args:
        field: The answer.
        evaluation: Every decision.
        said_above: Whether the page opens with the verdict already.
    """
    blocks: list[Block] = [] if said_above else [Paragraph(line) for line in verdict(field)]
    blocks += [_figure(field), _table(field, evaluation.decisions)]
    notes = [
        f"Intervals: 95%, {field.resampled.resamples:,} bootstrap resamples of the rows, the same for all lines. They "
        "hold the chance of which rows were drawn, not that of training: fit several seeds for that.",
    ]
    if isinstance(field.linear, Linear):
        notes.append(field.linear.note)
    notes += _notes(evaluation)
    if isinstance(field.linear, str):
        blocks.append(Notice(field.linear, "No linear baseline"))
    return Section("How good it is", [*blocks, Listing(notes)])


def verdict(field: Field) -> list[str]:
    """What the figures come down to: the metric, and whether the run beats its baselines."""
    metric = METRICS[field.metric]
    own = field.resampled.interval(field.run, field.metric)
    lines = [
        f"On {count(len(field.answers), 'row')}, {_with_article(metric.title)} is {fixed(own.value)} (95% interval "
        f"{between(own.low, own.high)})."
    ]
    others = [(field.best_constant, f"the best constant ({field.best_constant})")]
    if isinstance(field.linear, Linear):
        others.append((NAME, "TF-IDF with a linear model"))
    for name, called in others:
        difference = field.resampled.difference(field.run, name, field.metric)
        theirs = field.resampled.interval(name, field.metric).value
        lines.append(_compared(difference, theirs, metric.greater_is_better, called))
    return lines


def _with_article(title: str) -> str:
    return title if title.startswith("R²") else f"the {title}"


def _compared(difference: Interval, theirs: float, greater_is_better: bool, called: str) -> str:
    name = called[0].upper() + called[1:]
    if difference.value != difference.value:
        return f"{name} reaches {fixed(theirs)}, with which it cannot be compared."
    span = (
        f"difference {_signed(difference.value)}, 95% interval {_signed(difference.low)} to {_signed(difference.high)}"
    )
    if difference.low <= 0 <= difference.high:
        return f"{name} reaches {fixed(theirs)}; these rows cannot tell the two apart ({span})."
    better = (difference.value > 0) == greater_is_better
    return f"{name} reaches {fixed(theirs)}, which this run {'beats' if better else 'does not reach'} ({span})."


def _signed(value: float) -> str:
    return fixed(value) if value <= 0 else f"+{fixed(value)}"


def _figure(field: Field) -> Figure:
    title = METRICS[field.metric].title
    title = title[0].upper() + title[1:]
    whiskers = []
    for name, called in field.systems.items():
        found = field.resampled.interval(name, field.metric)
        mark = "s1" if name == field.run else "s3" if name == NAME else "s7"
        if found.value == found.value:
            whiskers.append(Whisker(called, found.value, found.low, found.high, mark=mark))
    direction = "higher is better" if METRICS[field.metric].greater_is_better else "lower is better"
    said = "; ".join(f"{each.name} {fixed(each.value)} ({between(each.low, each.high)})" for each in whiskers)
    return Figure(title, whisker_chart(whiskers, direction, title, said), note="Dots with their 95% intervals.")


def _table(field: Field, decisions: Mapping[str, Mapping[str, Any]]) -> Table:
    values = decisions[field.answers.decision]
    shown = [name for name, value in values.items() if name in _NAMES and value == value]
    rows, strong = list[tuple[str, ...]](), list[int]()
    for decision, values in decisions.items():
        if decision == field.answers.decision:
            strong.append(len(rows))
            own = [_with_interval(field.resampled.interval(field.run, name)) for name in shown]
            rows.append((f"{decision} (default)", *own))
        else:
            rows.append((decision, *(fixed(values.get(name)) for name in shown)))
    for name, called in field.systems.items():
        if name != field.run:
            rows.append((called, *(_with_interval(field.resampled.interval(name, metric)) for metric in shown)))
    return Table("Every decision and baseline", ("", *(_NAMES[name] for name in shown)), rows, strong=strong)


def _with_interval(found: Interval) -> str:
    if found.value != found.value:
        return "–"
    return f"{fixed(found.value)}\n{between(found.low, found.high)}"


def _notes(evaluation: Evaluation) -> list[str]:
    notes, interval = [], evaluation.interval
    if "size" in interval:
        notes.append(f"90% sets of labels hold the row's own in {percent(interval['coverage'], 1)} of the rows, with "
                     f"{fixed(interval['size'], 2)} labels on average.")  # fmt: skip
    elif interval:
        notes.append(f"90% intervals hold {percent(interval['coverage'], 1)} of the rows; mean width "
                     f"{fixed(interval['width'], 2)}.")  # fmt: skip
    if "crps" in interval:
        notes.append(
            f"The posterior's CRPS, to be set beside the MAE of a single number, is {fixed(interval['crps'])}."
        )
    if evaluation.covered:
        mean, least = (percent(evaluation.covered[name], 1) for name in ("mean", "least"))
        notes.append(
            f"Answers were searched for: those found hold at least {mean} of the probability on average, {least} in "
            "the least covered row."
        )
    if evaluation.outside_space is not None:
        outside = percent(evaluation.outside_space, 1)
        notes.append(
            f"Left to itself, the writer leaves the answer space in {outside} of the rows; predictions never do."
        )
    return notes
