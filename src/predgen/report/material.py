"""What a report is made of: the run, the rows it is judged on with their scores, and the rows it learned from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predgen.base_run import BaseRun, Progress
from predgen.data.sources import read_table
from predgen.data.table import Row, Table
from predgen.errors import DataError
from predgen.evaluate import choose_rows, read_scored, read_truth
from predgen.evaluation import Evaluation, RecordEvaluation, Targets
from predgen.model.outputs import Scores
from predgen.training.run_folder import LOG, SPLITS, RunRecord, read_checked, read_json

PART_NAMES = {"train": "training", "dev": "dev", "test": "test"}


@dataclass(frozen=True)
class Rows:
    """Rows of one source with all that is read of them; N of each.

    Args:
        source: Where they came from.
        numbers: Their positions there.
        rows: The rows.
        bodies: What the prompt shows of each.
        truth: Of each answer N targets.
    """

    source: str
    numbers: Sequence[int]
    rows: Sequence[Row]
    bodies: Sequence[str]
    truth: Sequence[Targets]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Judged:
    """The rows that a run is judged on.

    Args:
        rows: Themselves.
        name: "test", "dev", or "new" where the run has never met their source.
        note: What a reader should know of them.
        raw: Scores as the method gave them; one for each answer.
        scores: The same, calibrated.
        evaluation: Every decision on them.
        seconds: That scoring took.
    """

    rows: Rows
    name: str
    note: str
    raw: list[Scores]
    scores: list[Scores]
    evaluation: Evaluation | RecordEvaluation
    seconds: float


@dataclass(frozen=True)
class Material:
    """All that sections are made from.

    Args:
        folder: The run folder.
        run: The run.
        judged: What it is judged on.
        parts: "train", "dev" and "test", as far as they are at hand.
        absent: Why others are not, a line each.
        dev_scores: Calibrated scores of the dev rows, one for each answer, where they are at hand and not judged on.
        log: The lines of metrics.jsonl.
        seed: Of every draw that the report makes.
        resamples: Of every bootstrap.
        slices: Columns to look at apart.
        maps: Rows to be explained word by word.
    """

    folder: Path
    run: BaseRun
    judged: Judged
    parts: dict[str, Rows]
    absent: list[str]
    dev_scores: list[Scores] | None
    log: list[dict[str, Any]]
    seed: int
    resamples: int
    slices: Sequence[str]
    maps: int

    @property
    def record(self) -> RunRecord:
        """What all answers share of ``predgen.json``; its own answer is the first."""
        return next(iter(self.run.parts.values())).record


@dataclass(frozen=True)
class Wanted:
    """What a report is asked for.

    Args:
        data: Rows with targets to judge the run on; None: the rows it kept for that.
        trained_on: Where the data that the run was fitted on are now, if not where they were.
        slices: Columns to look at apart.
        maps: Rows to be explained word by word.
        resamples: Of every bootstrap.
        seed: Of every draw.
    """

    data: str | None = None
    trained_on: str | None = None
    slices: Sequence[str] = ()
    maps: int = 4
    resamples: int = 1000
    seed: int = 0


def gather(
    folder: Path, load_run: Callable[[], BaseRun], wanted: Wanted, say: Callable[[str], None], progress: Progress
) -> Material:
    """Reads the rows, loads the run once they are known to be there, and scores them.

    Args:
        folder: The run folder.
        load_run: Loads it.
        wanted: What is asked for.
        say: Takes one line at a time.
        progress: Called with the number of rows done after each pass.

    Raises:
        DataError: If there are no rows to judge the run on, or they cannot be read.
        RunFolderError: If the folder is no run.
    """
    splits = read_json(folder, SPLITS)
    root = read_checked(folder)["config"]["data"].get("root")  # a task's rows are where they were; older runs know none
    tables, absent = _tables_of(splits, wanted, root)
    judged_on = read_scored(wanted.data, "auto", root) if wanted.data is not None else None
    if judged_on is not None:
        tables.setdefault(judged_on.fingerprint, judged_on)
        numbers, note = choose_rows(folder, judged_on, "auto")
        name = "test" if any(part["fingerprint"] == judged_on.fingerprint for part in splits.values()) else "new"
    else:
        name, judged_on, numbers, note = _kept_rows(splits, tables, absent)
    for column in wanted.slices:
        if column not in judged_on.columns:
            raise DataError(
                f"{judged_on.name} has no column {column!r} to slice by.", f"It has: {', '.join(judged_on.columns)}."
            )
    run = load_run()
    rows = rows_of(run, judged_on, numbers)
    parts = {}
    for part_name, part in splits.items():
        if part["rows"] and part["fingerprint"] in tables:
            parts[part_name] = rows_of(run, tables[part["fingerprint"]], part["rows"])
    say(f"Scoring {len(rows)} {name} rows of {rows.source}.")
    started = time.perf_counter()
    raw = run.score_answers_raw(rows.bodies, progress)
    seconds = time.perf_counter() - started
    scores = run.calibrate(raw)
    evaluation = run.evaluate_answers(rows.bodies, scores, rows.truth)
    dev = parts.get("dev")
    dev_scores = None
    if name != "dev" and dev is not None:
        say(f"Scoring {len(dev)} dev rows, among which label mistakes are looked for too.")
        dev_scores = run.score_answers(dev.bodies, progress)
    return Material(
        folder, run, Judged(rows, name, note, raw, scores, evaluation, seconds), parts, absent, dev_scores,
        _log_of(folder), wanted.seed, wanted.resamples, wanted.slices, wanted.maps,
    )  # fmt: skip


def rows_of(run: BaseRun, table: Table, numbers: Sequence[int]) -> Rows:
    """Rows of a table by their positions, with their targets.

    Raises:
        DataError: If a row or its target cannot be read.
    """
    rows, truth = read_truth(run, table, numbers)
    return Rows(table.name, list(numbers), rows, [run.body(row) for row in rows], truth)


def _tables_of(splits: dict[str, Any], wanted: Wanted, root: str | None) -> tuple[dict[str, Table], list[str]]:
    """Fingerprint → table, of the data that the run was fitted on; and why some are not at hand."""
    tables, absent = dict[str, Table](), list[str]()
    if wanted.trained_on is not None:
        table = read_table(wanted.trained_on, root=root)
        if all(part["fingerprint"] != table.fingerprint for part in splits.values()):
            raise DataError(
                f"{wanted.trained_on} is not what this run was fitted on: its content differs.",
                "Expected the very file.", "Leave --trained-on away, and the report says what it could not show.",
            )  # fmt: skip
        tables[table.fingerprint] = table
    for name, part in splits.items():
        if part["fingerprint"] in tables or not part["rows"]:
            continue
        try:
            table = read_table(part["source"], root=root)
        except (DataError, OSError) as problem:
            absent.append(f"The {PART_NAMES[name]} rows are not at hand ({problem})")
            continue
        if table.fingerprint == part["fingerprint"]:
            tables[table.fingerprint] = table
        else:
            absent.append(f"The {PART_NAMES[name]} rows are not at hand: {part['source']} has changed since.")
    return tables, absent


def _kept_rows(
    splits: dict[str, Any], tables: dict[str, Table], absent: Sequence[str]
) -> tuple[str, Table, list[int], str]:
    """The rows that the run kept for judging; dev rows where it kept no test rows."""
    for name in ("test", "dev"):
        part = splits.get(name)
        if part is None or not part["rows"]:
            continue
        if part["fingerprint"] not in tables:
            break  # rows that are kept and not at hand are no reason to judge on others
        note = (
            ""
            if name == "test"
            else "The run kept no test rows, so that it is judged on the dev rows, on which its checkpoint, decision "
            "and calibration were chosen: all figures here are optimistic. Name fresh rows with --data."
        )
        return name, tables[part["fingerprint"]], list(part["rows"]), note
    raise DataError(
        "There are no rows to judge this run on.",
        " ".join(absent) or "It kept none.",
        "Name rows with targets: --data FILE; or where the data are now: --trained-on FILE.",
    )


def _log_of(folder: Path) -> list[dict[str, Any]]:
    path = folder / LOG
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
