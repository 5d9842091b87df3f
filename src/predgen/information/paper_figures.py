"""The paper's figures on information, drawn of models at the demo's settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from predgen.data.sources import SOURCES
from predgen.data.table import Row, Table
from predgen.data.templates import render
from predgen.errors import ConfigError, DataError, nearest
from predgen.information.faithfulness import faithfulness
from predgen.information.measure import Information, MeasureSettings, measure
from predgen.information.one_answer import OneAnswer
from predgen.information.paper_runs import PAPER_DATA, paper_run, read_paper_data
from predgen.information.pictures import bars, components_curves
from predgen.information.render import write_html, write_png
from predgen.information.token_map import EstimatorName, explain, prompt_of
from predgen.model.build import METHOD_NAMES
from predgen.training.run_folder import write_json

_MEASURED_ON = ("vader-tweets", "sst2")  # the paper does not say all of Fig. 2's data sets
_MAP_WORDS = 45  # the first row that is no longer is drawn, so that no one has chosen it by its map
_ESTIMATORS: tuple[EstimatorName, ...] = ("occlusion", "hidden")


@dataclass(frozen=True)
class PaperFigure:
    """One figure of the paper.

    Args:
        shows: What, in words.
        data: Its data set, of a map; None: `_MEASURED_ON`.
    """

    shows: str
    data: str | None = None


PAPER_FIGURES = {
    "fig2": PaperFigure("information of each method's states"),
    "fig3": PaperFigure("words of a review and its sentiment", "sst2"),
    "fig7": PaperFigure("information against principal components"),
    "fig8": PaperFigure("words of a question and each solution", "piqa"),
    "fig10": PaperFigure("words of a sentence and its complexity", "lcp"),
}


@dataclass(frozen=True)
class Workshop:
    """Where things come from and go to.

    Args:
        root: A folder of the paper's data sets, if one is named.
        runs: Models are kept here, and fitted once.
        out: Pictures and numbers.
        load_run: Loads a run folder.
        say: Takes one line at a time.
        counting: Unit and total → a context that yields a progress function.
    """

    root: Path | None
    runs: Path
    out: Path
    load_run: Callable[[Path], OneAnswer]
    say: Callable[[str], None]
    counting: Callable[[str, int], Any]


def draw_paper_figure(name: str, settings: MeasureSettings, shop: Workshop) -> tuple[list[Path], list[Information]]:
    """Draws one of `PAPER_FIGURES`.

    Args:
        name: Which.
        settings: How information is measured.
        shop: Where.

    Returns:
        The files, and what was measured, if anything was.

    Raises:
        ConfigError: If there is no such figure.
        DataError: If its data set is not to be had.
    """
    if name not in PAPER_FIGURES:
        raise ConfigError(f"Unknown figure {name!r}:", nearest(name, PAPER_FIGURES))
    shop.out.mkdir(parents=True, exist_ok=True)
    data = PAPER_FIGURES[name].data
    if data is not None:
        return _map(name, data, shop), []
    panels = [_measured(each, replace(settings, sweep=name == "fig7"), shop) for each in _to_be_had(shop)]
    picture, numbers = shop.out / f"{name}.png", shop.out / f"{name}.json"
    (components_curves if name == "fig7" else bars)(panels, picture)
    write_json(numbers, [panel.to_json() for panel in panels])
    return [picture, numbers], panels


def _to_be_had(shop: Workshop) -> list[str]:
    found = []
    for name in _MEASURED_ON:
        if name in SOURCES or (shop.root is not None and (shop.root / name / "train.jsonl.gz").is_file()):
            found.append(name)
        else:
            shop.say(f"{name} is left out: no folder of data holds {name}/train.jsonl.gz (--data-root, PREDGEN_DATA).")
    return found


def _measured(data: str, settings: MeasureSettings, shop: Workshop) -> Information:
    folders = [paper_run(data, method, shop.runs, shop.root, shop.say) for method in METHOD_NAMES]
    return measure(folders, shop.load_run, read_paper_data(data, shop.root), settings, shop.counting)


def _map(name: str, data: str, shop: Workshop) -> list[Path]:
    row = _row_to_show(data, read_paper_data(data, shop.root, "validation"))
    run, written = shop.load_run(paper_run(data, "predgen", shop.runs, shop.root, shop.say)).run, list[Path]()
    prompted = prompt_of(run, row)
    for estimator in _ESTIMATORS:
        made = explain(run, row, estimator, prompted, budget=math.inf)
        true = faithfulness(run, prompted, made)
        stem = name if estimator == "occlusion" else f"{name}_{estimator}"
        write_png(made, true, shop.out / f"{stem}.png")
        write_html(made, true, shop.out / f"{stem}.html")
        record = {**made.to_json(), "gold": row[PAPER_DATA[data].target], "faithfulness": true.to_json()}
        write_json(shop.out / f"{stem}.json", record)
        shop.say(f"{estimator}: answers {made.answer}, gold {row[PAPER_DATA[data].target]}. {true.line()}")
        written += [shop.out / f"{stem}.png", shop.out / f"{stem}.html", shop.out / f"{stem}.json"]
    return written


def _row_to_show(data: str, table: Table) -> Row:
    rows: Sequence[Row] = table.good_rows
    for row in rows:
        if len(render(PAPER_DATA[data].template, row).split()) <= _MAP_WORDS:
            return row
    raise DataError(f"{table.name} has no row of at most {_MAP_WORDS} words.", "A map of more cannot be read.")
