"""Numbers that others have printed, as data: the paper's Tables 1, 2 and 5, its figures' text, and best results."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

AVERAGE = "average"  # stands in the place of a task: the row's printed average

Flag = Literal["", "pair", "average", "outlier"]


@dataclass(frozen=True)
class PrintedCell:
    """One number of Table 1, 2 or 5, as printed.

    Args:
        table: "table1", "table2" or "table5".
        model: As printed; `predgen.reproduce.models` says what it is.
        peft: As `peft.method` calls it.
        method: predictor, generator or predgen.
        task: As `predgen tasks` calls it, or `AVERAGE`.
        metric: accuracy and exact_match in percent; mae and mse in the target's units. Table 2 prints two numbers a
            cell and calls them MSE/MAE; most are possible only as MAE/MSE, so that is how all of them are read.
        printed: The number's characters.
        flag: Why it cannot be right: "pair" (an MSE below the square of its MAE), "average" (not the mean of its row),
            "outlier" (over ten times all others of its kind); "" where nothing is known against it.
        reason: The same in words, with the numbers.
    """

    table: str
    model: str
    peft: str
    method: str
    task: str
    metric: str
    printed: str
    flag: Flag = ""
    reason: str = ""

    @property
    def value(self) -> float:
        """The number."""
        return float(self.printed)

    @property
    def row(self) -> tuple[str, str, str, str]:
        """What the cells of one printed row have in common."""
        return self.table, self.model, self.peft, self.method


@dataclass(frozen=True)
class BestResult:
    """A result that others have published.

    Args:
        task: As `predgen tasks` calls it.
        split: The official split it was measured on: "validation" or "test".
        metric: As in `predgen.metrics`; accuracy as a share.
        value: The result.
        system: What reached it, with its size where known.
        source: Where it is printed.
        seen: Whether that page was read; what is only said elsewhere is shown as unverified.
    """

    task: str
    split: Literal["validation", "test"]
    metric: str
    value: float
    system: str
    source: str
    seen: bool


@dataclass(frozen=True)
class FigureValue:
    """A number that the text gives of Fig. 4, 5 or 6; what only the picture shows is not here.

    Args:
        figure: "fig4", "fig5" or "fig6".
        task: As `predgen tasks` calls it.
        variant: Of the ablation, as `predgen.reproduce.experiments` calls it.
        metric: As in `PrintedCell`.
        printed: The number's characters.
        reason: What contradicts it; "" where nothing does.
    """

    figure: str
    task: str
    variant: str
    metric: str
    printed: str
    reason: str


@cache
def printed_cells() -> tuple[PrintedCell, ...]:
    """All 1044 numbers of Tables 1, 2 and 5, in the order of the paper."""
    return tuple(
        PrintedCell(
            table=row["table"],
            model=row["model"],
            peft=row["peft"],
            method=row["method"],
            task=row["task"],
            metric=row["metric"],
            printed=row["value"],
            flag=row["flag"],  # type: ignore[arg-type]
            reason=row["reason"],
        )
        for row in _rows("cells.csv")
    )


@cache
def best_results() -> tuple[BestResult, ...]:
    """What others have reached, several a task where splits or sizes differ."""
    return tuple(
        BestResult(
            task=row["task"],
            split=row["split"],  # type: ignore[arg-type]
            metric=row["metric"],
            value=float(row["value"]),
            system=row["system"],
            source=row["source"],
            seen=row["seen"] == "yes",
        )
        for row in _rows("best.csv")
    )


@cache
def figure_values() -> tuple[FigureValue, ...]:
    """What the text says of the ablations' figures."""
    return tuple(FigureValue(**row) for row in _rows("figures.csv"))


def _rows(name: str) -> list[dict[str, str]]:
    text = resources.files("predgen.reproduce.printed").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
