"""What stands beside our results: the paper's cells, and the best that others have published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from predgen.reproduce.experiments import Column, Experiment
from predgen.reproduce.lines import PERCENT, Line, Shown
from predgen.reproduce.models import printed_name
from predgen.reproduce.published import BestResult, PrintedCell, figure_values, printed_cells


def paper_lines(
    experiment: Experiment, column: Column, facts: Sequence[Mapping[str, Any]], metrics: Sequence[str]
) -> list[Line]:
    """The printed rows of our models where the paper has them, else of its first; of our PEFT methods likewise.

    Args:
        experiment: Which table or ablation.
        column: Of it.
        facts: Of the cells that these lines stand beside.
        metrics: That are shown.
    """
    if experiment.name.startswith("fig"):
        return _figure_lines(experiment, column)
    cells = [cell for cell in printed_cells() if (cell.table, cell.task) == (experiment.name, column.task)]
    if not cells:
        return []
    models = {printed_name(str(each["model"])) for each in facts} & {cell.model for cell in cells}
    pefts = {str(each["peft"]) for each in facts} & {cell.peft for cell in cells}
    shown_models = models or {cells[0].model}
    shown_pefts = pefts or {cells[0].peft}
    rows: dict[tuple[str, str, str], dict[str, Shown]] = {}
    for cell in cells:
        if cell.model in shown_models and cell.peft in shown_pefts and cell.metric in metrics:
            rows.setdefault((cell.model, cell.peft, cell.method), {})[cell.metric] = printed_number(cell)
    return [
        Line("paper", printed_title(method), values, model, peft, source=experiment.title.split(":")[0])
        for (model, peft, method), values in rows.items()
    ]


def printed_number(cell: PrintedCell) -> Shown:
    """A cell of the paper, percents as shares."""
    return Shown(cell.value / 100 if cell.metric in PERCENT else cell.value, None, "", cell.flag, cell.reason)


def printed_title(method: str) -> str:
    """What the paper calls a method."""
    return {"predictor": "Predictor", "generator": "Generator", "predgen": "PredGen"}[method]


def _figure_lines(experiment: Experiment, column: Column) -> list[Line]:
    return [
        Line(
            "paper",
            value.variant,
            {
                value.metric: Shown(
                    float(value.printed) / 100 if value.metric in PERCENT else float(value.printed),
                    flag="text" if value.reason else "",
                    reason=value.reason,
                )
            },
            source=experiment.title.split(":")[0],
        )
        for value in figure_values()
        if (value.figure, value.task) == (experiment.name, column.task)
    ]


def published_lines(results: Sequence[BestResult]) -> list[Line]:
    """One line a system."""
    systems: dict[tuple[str, str], dict[str, Shown]] = {}
    for result in results:
        title = result.system if result.seen else f"{result.system} [unverified]"
        systems.setdefault((title, result.source), {})[result.metric] = Shown(result.value)
    return [Line("published", title, values, source=source) for (title, source), values in systems.items()]
