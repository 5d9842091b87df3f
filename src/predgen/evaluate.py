"""`predgen evaluate`: which rows of a source to score a run on, and what to say of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from predgen.answers.spaces import LabelSet
from predgen.base_run import BaseRun
from predgen.data.columns import TargetField, read_fields
from predgen.data.sources import read_table
from predgen.data.table import Row, Table
from predgen.data.tasks.rows import read_task, task_source
from predgen.errors import DataError, nearest
from predgen.evaluation import Evaluation, RecordEvaluation, Targets
from predgen.precision import with_precision
from predgen.training.run_folder import SPLITS, read_json

SPLIT_NAMES = ("auto", "train", "dev", "test", "all")


def evaluate_source(
    folder: Path,
    load_run: Callable[[], BaseRun],
    source: str,
    split: str,
    say: Callable[[str], None],
    progress: Callable[[int], None],
    precision: str = "fp32",
    root: str | Path | None = None,
) -> Evaluation | RecordEvaluation:
    """Scores a run on a source.

    Of the very data that the run was fitted on, "auto" takes the test rows alone, since the others were trained or
    selected on; of other data it takes all.

    Args:
        folder: The run folder.
        load_run: Loads it; called once the rows are known to be there.
        source: As `read_scored` takes it.
        split: One of `SPLIT_NAMES`.
        say: Takes one line at a time.
        progress: Called with the number of rows done after each pass.
        precision: As `with_precision` takes it; what came of it is among the notes.
        root: As `read_table` takes it.

    Raises:
        DataError: If the split is unknown or empty, the target column is missing, or a target cannot be read.
        RunFolderError: If the folder is no run.
    """
    if split not in SPLIT_NAMES:
        raise DataError(f"Unknown split {split!r}:", nearest(split, SPLIT_NAMES))
    table = read_scored(source, split, root)
    numbers, note = choose_rows(folder, table, split)
    notes = [*table.notes, *([note] if note else [])]
    for line in notes:
        say(line)
    run = load_run()
    rows, truth = read_truth(run, table, numbers)
    bodies = [run.body(row) for row in rows]
    run = with_precision(run, precision, rows, notes.append)
    scores = run.score_answers(bodies, progress)
    return replace(run.evaluate_answers(bodies, scores, truth), notes=notes)


def read_scored(source: str, split: str, root: str | Path | None = None) -> Table:
    """Reads rows to score on.

    Args:
        source: A file or a named source. A task's bare name stands for the split that is reported, unless the rows that
            a run learned from are asked for.
        split: One of `SPLIT_NAMES`.
        root: As `read_table` takes it.

    Raises:
        DataError: As `read_table` says.
    """
    named = task_source(source)
    if named is None or "/" in source or split not in ("auto", "test"):
        return read_table(source, root=root)
    task, _ = named
    return read_task(task, task.reported, root)


def choose_rows(folder: Path, table: Table, split: str) -> tuple[list[int], str]:
    """Which rows of a table a run may be scored on, and what a reader should know of them.

    Args:
        folder: The run folder.
        table: The rows.
        split: One of `SPLIT_NAMES`.

    Raises:
        DataError: If the run keeps no such rows of this table.
    """
    splits = read_json(folder, SPLITS)
    everything = list(range(len(table.good_rows)))
    mine = {name: part for name, part in splits.items() if part["fingerprint"] == table.fingerprint}
    if not mine:
        if split not in ("auto", "all"):
            raise DataError(
                f"{table.name} is not the data that this run was fitted on, so it has no {split} split.",
                remedy="Leave --split away.",
            )
        return everything, ""
    if set(mine) == {"test"} and split in ("auto", "all"):
        return everything, ""  # a run that reports on a part of these rows has learned from none
    if split == "all":
        seen = sum(len(part["rows"]) for name, part in mine.items() if name != "test")
        return everything, f"All rows are scored; the run trained or selected on {seen} of them, so this is optimistic."
    name = "test" if split == "auto" else split
    chosen = mine.get(name, {"rows": []})["rows"]
    if not chosen:
        raise DataError(f"The run keeps no {name} rows of {table.name}.", remedy="Choose another --split, or all.")
    warning = "" if name == "test" else " The run has learned from them, so this is optimistic."
    how = "fitted" if "train" in mine else "selected"
    return chosen, (
        f"This run was {how} on {table.name}: its {len(chosen)} {name} rows of {len(everything)} are scored "
        f"(--split all takes every row).{warning}"
    )


def read_truth(run: BaseRun, table: Table, numbers: Sequence[int]) -> tuple[list[Row], list[Targets]]:
    """Rows of a table by their positions, and of each of the run's answers their targets.

    Raises:
        DataError: If the target's column is missing, a target cannot be read, or a label is unknown to the run.
    """
    rows = [table.good_rows[number] for number in numbers]
    check_targets(run.targets, table)
    truth: list[Targets] = [*read_fields(rows, run.targets)]
    for target, part, targets in zip(run.targets, run.parts.values(), truth, strict=True):
        if isinstance(part.space, LabelSet) and target.label is None:
            _refuse_unknown_labels(part.space.labels, [str(label) for label in targets], numbers)
    return rows, truth


def check_targets(targets: Sequence[TargetField], table: Table) -> None:
    """Refuses a table without a run's targets.

    Raises:
        DataError: The message names the column.
    """
    for target in targets:
        if target.column not in table.columns:
            raise DataError(
                f"{table.name} has no column {target.column!r}, which holds this run's target:",
                nearest(target.column, table.columns),
            )


def _refuse_unknown_labels(known: Sequence[str], truth: list[str], numbers: Sequence[int]) -> None:
    unknown = [(number, label) for number, label in zip(numbers, truth, strict=True) if label not in known]
    if unknown:
        number, label = unknown[0]
        raise DataError(
            f"{len(unknown)} rows have a label that this run does not know, first row {number}: {label!r}.",
            nearest(label, known),
            "Leave these rows out, or fit on data that has the label.",
        )
