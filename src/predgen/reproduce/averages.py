"""A table's last column: the mean over its tasks, and whether methods differ in it by more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from predgen.reproduce.beside import printed_number, printed_title
from predgen.reproduce.blocks import best_of, mark_of, splits_of
from predgen.reproduce.experiments import Experiment
from predgen.reproduce.lines import Line, Mark, Shown
from predgen.reproduce.methods import METHODS
from predgen.reproduce.models import printed_name
from predgen.reproduce.published import AVERAGE, printed_cells
from predgen.reproduce.results import CHOSEN, Group, groups_of, mean_difference

# The three that the paper's averages compare. The sets that they all have are averaged over; any other method is left
# out until it has those too, so that a baseline that is still being run does not take sets away from the three.
_DECIDING = ("predictor", "generator", "predgen")


@dataclass(frozen=True)
class Average:
    """The mean over a table's columns, of one model, PEFT method and scale.

    Args:
        scale: Of the cells.
        model: The base model.
        peft: The PEFT method.
        tasks: Over which the mean is taken: those that every line has.
        metrics: Shown; the first is judged.
        lines: A method each, and the paper's own.
    """

    scale: str
    model: str
    peft: str
    tasks: tuple[str, ...]
    metrics: tuple[str, ...]
    lines: Sequence[Line]


def averages_of(experiment: Experiment, records: Sequence[Mapping[str, Any]]) -> list[Average]:
    """The averages of a table, of each model, PEFT method and scale that has more than one method and column.

    Args:
        experiment: Which table; nothing is averaged where the paper averages nothing.
        records: All finished cells.
    """
    if not experiment.average:
        return []
    plain = [record for record in records if not record["cell"]["variant"]]
    families: dict[tuple[str, str, str], list[Group]] = {}
    for group in groups_of(plain):
        if group.facts["task"] in experiment.tasks() and not (group.facts["changed"] or group.facts["rates"]):
            key = tuple(str(group.facts[name]) for name in ("scale", "model", "peft"))
            families.setdefault(key, []).append(group)  # type: ignore[arg-type]
    found = (_average(experiment, *key, groups) for key, groups in families.items())
    return [average for average in found if average is not None]


def _average(experiment: Experiment, scale: str, model: str, peft: str, groups: Sequence[Group]) -> Average | None:
    columns = [column for column in experiment.columns if column.in_paper]
    split_of = {column.task: splits_of(column)[0] for column in columns}
    by_method: dict[str, dict[str, Group]] = {}
    for group in groups:
        for column in columns:
            if column.trained_on == group.facts["task"] and group.has(split_of[column.task]):
                by_method.setdefault(group.facts["method"], {})[column.task] = group
    deciding = [method for method in _DECIDING if method in by_method]
    if len(deciding) < 2:
        deciding = list(by_method)
    tasks = [column.task for column in columns if all(column.task in by_method[method] for method in deciding)]
    order = [method for method in METHODS if method in by_method and by_method[method].keys() >= set(tasks)]
    if len(tasks) < 2 or len(order) < 2:
        return None
    metrics = tuple(metric for metric in columns[0].metrics if metric != "pearson")

    def mean(method: str, metric: str) -> float:
        values = [by_method[method][task].summary(split_of[task], CHOSEN, metric).mean for task in tasks]
        return sum(values) / len(values)

    lines = []
    for method in order:
        values = {}
        for metric in metrics:
            leader = order[best_of([mean(other, metric) for other in order], metric)]
            mark: Mark = "best"
            if leader != method:
                pairs = [(by_method[method][task], by_method[leader][task], split_of[task]) for task in tasks]
                mark = mark_of(mean_difference(pairs, CHOSEN, metric), metric)
            values[metric] = Shown(mean(method, metric), None, mark)
        seeds = min(len(by_method[method][task].seeds) for task in tasks)
        lines.append(Line("ours", METHODS[method].title, values, model, peft, "each its own", seeds))
    if len(tasks) == len(columns):
        lines += _printed_averages(experiment, model, peft, metrics)
    return Average(scale, model, peft, tuple(tasks), metrics, lines)


def _printed_averages(experiment: Experiment, model: str, peft: str, metrics: Sequence[str]) -> list[Line]:
    cells = [cell for cell in printed_cells() if (cell.table, cell.task) == (experiment.name, AVERAGE)]
    printed = printed_name(model)
    shown = printed if printed in {cell.model for cell in cells} else cells[0].model
    adapter = peft if peft in {cell.peft for cell in cells} else cells[0].peft
    rows: dict[str, dict[str, Shown]] = {}
    for cell in cells:
        if (cell.model, cell.peft) == (shown, adapter) and cell.metric in metrics:
            rows.setdefault(cell.method, {})[cell.metric] = printed_number(cell)
    title = experiment.title.split(":")[0]
    return [
        Line("paper", printed_title(method), values, shown, adapter, source=title) for method, values in rows.items()
    ]
