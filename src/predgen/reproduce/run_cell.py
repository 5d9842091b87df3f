"""One cell from its settings to its record: every learning rate fitted, the best on dev scored on all official rows."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from predgen.config import RunConfig
from predgen.data.checks import overlap
from predgen.data.columns import read_fields
from predgen.data.sources import read_table
from predgen.data.splits import sample_rows
from predgen.data.table import Row, Table
from predgen.data.tasks import find
from predgen.data.tasks.root import data_root
from predgen.data.tasks.task import SplitName, Task
from predgen.evaluate import check_targets
from predgen.loading import load_single
from predgen.metrics import better
from predgen.reproduce.cell import Cell, config_of, digest_of, rates_of, reports_of
from predgen.reproduce.hardware import machine, versions
from predgen.reproduce.ledger import Ledger, now
from predgen.reproduce.models import TINY
from predgen.reproduce.resamples import COUNT, pack, resampled_metrics
from predgen.reproduce.scales import Scale, find_scale
from predgen.reproduce.smoke import made_up_rows, tiny_model
from predgen.run import Run
from predgen.training.fit import fit
from predgen.training.run_folder import METRICS, SPLITS, read_json

Say = Callable[[str], None]


@dataclass(frozen=True)
class Attempt:
    """One of the cell's runs.

    Args:
        rate: Its learning rate.
        folder: Its run folder; None where only the cell's record tells of it.
        dev: What it reached on dev: metric, decision, value and step; of a run folder all decisions too.
        seconds: That the process which fitted it spent on it.
    """

    rate: float
    folder: Path | None
    dev: Mapping[str, Any]
    seconds: float


def run_cell(
    cell: Cell, ledger: Ledger, root: str | None, say: Say, before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Fits and scores a cell; what an earlier process has left half done goes on.

    Args:
        cell: To be claimed by this process.
        ledger: Where its run folders go.
        root: A folder of data, as `data.root`.
        say: Takes one line at a time.
        before: Its record with fewer learning rates, whose runs are taken as they were.

    Returns:
        Its record, as `Ledger.keep` takes it.

    Raises:
        PredgenError: If settings, rows or model cannot be used.
        Interrupted: If it was stopped; it goes on when it is run again.
    """
    started = time.monotonic()
    told = {attempt.rate: attempt for attempt in _told(before)}
    rates = dict.fromkeys([*rates_of(cell), *told])  # in the cell's own order: of equals the first is chosen
    attempts = [told.get(rate) or _attempt(cell, rate, ledger, root, say) for rate in rates]
    tried = {"rates": [_fact(attempt) for attempt in attempts]}
    best = _best(attempts)
    if best.folder is None:
        assert before is not None
        seconds = round(before["seconds"] + time.monotonic() - started, 1)
        return {**before, **tried, "finished": now(), "seconds": seconds}
    run = load_single(best.folder)
    task, scale = find(cell.task), find_scale(cell.scale)
    reports, resamples = dict[str, Any](), dict[str, Any]()
    trained, notes = _trained_on(cell, run, best.folder, root)
    for where, split in reports_of(task):
        name = where.source(split)
        rows = report_rows(where, split, scale, run.record.config["data"]["split_seed"], root)
        say(f"Scoring {len(rows.good_rows)} rows of {name}.")
        report, values = _report(run, rows, trained)
        report["notes"] = [*report["notes"], *_without_root(rows.notes, root)]
        chose = where.name == task.name and split == task.dev
        reports[name] = {"fingerprint": rows.fingerprint, "selected_on": chose, **report}
        if not chose:
            resamples[name] = values
    config = config_of(cell, best.rate)
    return {
        "cell": cell.facts(),
        "finished": now(),
        "seconds": round(sum(attempt.seconds for attempt in told.values()) + time.monotonic() - started, 1),
        "machine": machine(),
        "versions": versions(),
        "base": {name: value for name, value in run.record.base.items() if name in ("sha256", "licence")},
        "notes": notes,
        "rows": {name: run.record.data[name]["rows"] for name in ("train", "dev")},
        **tried,
        "chosen": best.rate,
        "dev": short({name: value for name, value in best.dev.items() if name != "event"}),
        "reports": short(reports),
        "settings": _without_places(config),
        "digest": digest_of(cell),
        "resamples": {"count": COUNT, "values": resamples},
    }


def short(value: Any) -> Any:
    """Nested values with their floats rounded to six significant digits, so that the file can be read."""
    if isinstance(value, Mapping):
        return {key: short(inner) for key, inner in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value


def report_rows(task: Task, split: SplitName, scale: Scale, seed: int, root: str | None) -> Table:
    """The rows of a split that a cell is scored on: the same ones for every cell of a scale.

    Raises:
        DataError: If the split is not to be had.
    """
    if scale.name == "smoke":
        return read_table(made_up_rows(task, scale.report_rows or 1, seed=_SMOKE_SEEDS[split]))
    table = read_table(task.source(split), root=root)
    chosen = sample_rows(len(table.good_rows), scale.report_rows, seed)
    if len(chosen) == len(table.good_rows):
        return table
    rows = [table.good_rows[number] for number in chosen]
    return replace(read_table(rows), name=table.name)


_SMOKE_SEEDS: dict[SplitName, int] = {"train": 0, "validation": 1, "test": 2}


def _attempt(cell: Cell, rate: float, ledger: Ledger, root: str | None, say: Say) -> Attempt:
    """Fits one run, or goes on with it, or finds it done."""
    folder = ledger.run_folder(cell.id, rate)
    config = _with_model(config_of(cell, rate, str(folder)), ledger.out)
    config = replace(config, data=replace(config.data, root=root))
    if folder.exists() and not _ours(folder):
        shutil.rmtree(folder)  # the process that made it was killed before it had written a setting
    say(f"{cell.id}, learning rate {rate:g}")
    started = time.monotonic()
    data, selecting = _smoke_rows(cell) if cell.scale == "smoke" else (None, None)
    fit(config, say=say, resume=True, data=data, dev=selecting)
    dev = read_json(folder, METRICS)["dev"]
    return Attempt(rate, folder, dev, time.monotonic() - started)


def _told(record: Mapping[str, Any] | None) -> list[Attempt]:
    """The runs that a cell's record tells of."""
    facts = ("metric", "value", "decision", "step")
    return [
        Attempt(each["learning_rate"], None, {name: each[name] for name in facts}, each["seconds"])
        for each in (record["rates"] if record is not None else ())
    ]


def _fact(attempt: Attempt) -> dict[str, Any]:
    """A run as the cell's record tells of it."""
    return {
        "learning_rate": attempt.rate,
        "metric": attempt.dev["metric"],
        "value": short(attempt.dev["value"]),
        "decision": attempt.dev["decision"],
        "step": attempt.dev["step"],
        "seconds": round(attempt.seconds, 1),
    }


def _ours(folder: Path) -> bool:
    return any(os.scandir(folder))


def _smoke_rows(cell: Cell) -> tuple[list[Row], list[Row] | None]:
    """To train on, and to select on where the task has rows for that."""
    task, scale = find(cell.task), find_scale(cell.scale)
    train, dev = scale.train_rows or 1, scale.dev_rows or 1
    if task.dev is None:
        return made_up_rows(task, train + dev, seed=0), None
    return made_up_rows(task, train, seed=0), made_up_rows(task, dev, seed=1)


def _with_model(config: RunConfig, out: Path) -> RunConfig:
    if config.model.name != TINY:
        return config
    return replace(config, model=replace(config.model, name=str(tiny_model(out / "models" / TINY))))


def _best(attempts: Sequence[Attempt]) -> Attempt:
    best = attempts[0]
    for attempt in attempts[1:]:
        if better(attempt.dev["metric"], attempt.dev["value"], best.dev["value"]):
            best = attempt
    return best


def _trained_on(cell: Cell, run: Run, folder: Path, root: str | None) -> tuple[list[str], list[str]]:
    """What the run was shown in training, and what is to be known of these rows."""
    table = read_table(_smoke_rows(cell)[0] if cell.scale == "smoke" else find(cell.task).source("train"), root=root)
    numbers = read_json(folder, SPLITS)["train"]["rows"]
    return [run.body(table.good_rows[number]) for number in numbers], _without_root(table.notes, root)


def _without_root(notes: Iterable[str], root: str | None) -> list[str]:
    """Notes on files, without where these are on this machine."""
    folder = data_root(root)
    return [note if folder is None else note.replace(str(folder), "DATA") for note in notes]


def _report(run: Run, table: Table, trained: Sequence[str]) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """An evaluation as JSON, and the metrics on resampled rows."""
    started = time.monotonic()
    rows = table.good_rows
    check_targets(run.targets, table)
    truth = read_fields(rows, run.targets)[0]
    bodies = [run.body(row) for row in rows]
    scores = run.score(bodies)
    evaluation = run.evaluate_scores(bodies, scores, truth).to_json()
    values = pack(resampled_metrics(run, scores, truth, table.fingerprint), evaluation["decisions"])
    # That many of the scored texts are in the training rows too, case and blanks aside.
    evaluation["also_in_train"] = overlap(trained, bodies)
    return {**evaluation, "seconds": round(time.monotonic() - started, 1)}, values


def _without_places(config: RunConfig) -> dict[str, Any]:
    """The settings, as they are the same wherever the grid is run."""
    settings = config.to_dict()
    return {name: value for name, value in settings.items() if name != "out"}
