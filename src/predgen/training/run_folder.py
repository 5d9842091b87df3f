"""The run folder: what is in it, written and read.

    predgen.json             everything needed to predict: task, template, space, base, decision, versions
    adapter_model.safetensors, adapter_config.json     the writer's adapter, plain peft
    held_out.json            how far off each decision was on dev rows: what intervals and sets are made of
    director.safetensors     the director or head, if the method has one
    probe.safetensors        what is added to the output weights of the answers' tokens, if anything is
    tokenizer.json, …        the tokenizer
    config.yaml              the resolved settings; `predgen fit --config` takes it
    splits.json              which rows of the source were train, dev and test
    metrics.json, metrics.jsonl    results; the training log
    figures/                 pictures
    README.md                the model card

Nothing in it points outside, so that it can be moved.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from predgen.config import Scoring, Task
from predgen.errors import RunFolderError

FORMAT_VERSION = 3
RECORD, CONFIG, SPLITS, METRICS, LOG = "predgen.json", "config.yaml", "splits.json", "metrics.json", "metrics.jsonl"
DIRECTOR, CARD, FIGURES, CHECKPOINTS = "director.safetensors", "README.md", "figures", "checkpoints"
HELD_OUT, PROBE = "held_out.json", "probe.safetensors"
KIND = "kind"  # stands in predgen.json of a run that gives several answers; see `record_folder`


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The contents of ``predgen.json``.

    Args:
        task: "classification" or "regression".
        template: How a row becomes the prompt's body.
        target: The target's column.
        max_tokens: Longest prompt in tokens.
        space: The answer space, as its `to_json` gives it.
        base: name, revision, sha256 and licence of the base model.
        decision: The default decision, chosen on dev.
        metric: The metric it was chosen by.
        dev_value: That metric on dev, at the chosen checkpoint and decision.
        best_step: The optimizer step of the chosen checkpoint.
        mean: The training targets' mean (numbers), of log grids and free numbers that of their logarithms; see `Scale`.
        spread: The standard deviation of the same.
        calibration: What is done to every score; see `Calibration`.
        baseline: What a constant prediction needs: class shares, or mean and median of the training targets.
        data: Source, fingerprint and numbers of rows.
        total_steps: Optimizer steps of the run.
        versions: Of predgen and the libraries that matter.
        config: The resolved settings.
        scoring: How answers are scored: as a tree, or path by path.
        answers: Whether every answer's probability is computed ("exact"), the likeliest are searched for ("beam"), or
            there is no list of them ("free").
        format_version: Of this file.
    """

    task: Task
    template: str
    target: str
    max_tokens: int
    space: dict[str, Any]
    base: dict[str, Any]
    decision: str
    metric: str
    dev_value: float
    best_step: int
    mean: float
    spread: float
    calibration: dict[str, Any]
    baseline: dict[str, Any]
    data: dict[str, Any]
    total_steps: int
    versions: dict[str, str]
    config: dict[str, Any]
    scoring: Scoring
    answers: Literal["exact", "beam", "free"] = "exact"
    format_version: int = FORMAT_VERSION


def write_text(path: Path, text: str, shared: bool = False) -> None:
    """Writes through a temporary sibling, so that a crash leaves the old file or the new one, never half of one.

    Args:
        path: The file.
        text: What it will hold.
        shared: Whether other processes may write it at the same time; the sibling's name is then this call's own.
    """
    temporary = path.with_name(f"{path.name}.{uuid4().hex}.part" if shared else f"{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_json(path: Path, value: object, shared: bool = False) -> None:
    """Writes JSON, as `write_text` does. NaN and infinities become null: they are not JSON."""
    write_text(path, json.dumps(finite(value), indent=2, ensure_ascii=False) + "\n", shared)


def finite(value: Any) -> Any:
    """The same nested value with None in place of NaN and infinities."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(folder: Path, name: str) -> Any:
    """Reads a JSON file of a run folder.

    Raises:
        RunFolderError: If it is missing or damaged.
    """
    path = folder / name
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise RunFolderError(
            f"{folder} has no readable {name}.", "Expected a folder that `predgen fit` wrote."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise RunFolderError(f"{path} is damaged: {problem}.", remedy="Restore it from a copy, or fit again.") from None


def read_record(folder: Path) -> RunRecord:
    """Reads ``predgen.json``.

    Raises:
        RunFolderError: If the folder is missing, is not a run, is damaged, is of another format, or gives several
            answers.
    """
    record = read_checked(folder)
    if KIND in record:
        names = ", ".join(repr(field["name"]) for field in record["fields"])
        raise RunFolderError(
            f"{folder} gives several answers: {names}.", "This asks for a run with one.", "Fit one for the field alone."
        )
    return RunRecord(**checked_fields(RunRecord, record, folder / RECORD))


def read_checked(folder: Path) -> dict[str, Any]:
    """What ``predgen.json`` holds, whatever the kind of run.

    Raises:
        RunFolderError: If the folder is missing, is not a run, is damaged, or is of another format.
    """
    if not folder.is_dir():
        raise RunFolderError(f"There is no run folder {folder}.", remedy="`predgen fit … --out RUN` makes one.")
    if not (folder / RECORD).exists():
        unfinished = (folder / CONFIG).exists()
        raise RunFolderError(
            f"{folder} holds {'an unfinished run' if unfinished else 'no predgen run'}: {RECORD} is missing.",
            remedy=f"Go on with `predgen fit --resume --out {folder}`."
            if unfinished
            else "Name a folder that `predgen fit` wrote.",
        )
    record = read_json(folder, RECORD)
    version = record.get("format_version") if isinstance(record, dict) else None
    if version != FORMAT_VERSION:
        raise RunFolderError(
            f"{folder / RECORD} has format version {version!r}.",
            f"This predgen reads version {FORMAT_VERSION}.",
            "Use the predgen that wrote it, or fit again.",
        )
    checked: dict[str, Any] = record
    return checked


def checked_fields(kind: type, record: dict[str, Any], path: Path) -> dict[str, Any]:
    """A mapping, once it has a dataclass's fields and no others.

    Raises:
        RunFolderError: If it has not.
    """
    fields = {field.name for field in dataclasses.fields(kind)}
    missing, unknown = sorted(fields - record.keys()), sorted(record.keys() - fields)
    if missing or unknown:
        raise RunFolderError(f"{path} is damaged: missing {missing}, unknown {unknown}.")
    return record


def settings_to_continue(folder: Path) -> dict[str, Any]:
    """A finished run's settings without its rows, its place, and how long it trained.

    Raises:
        RunFolderError: If the folder is no finished run.
    """
    settings = {key: value for key, value in read_checked(folder)["config"].items() if key not in ("data", "out")}
    train = {key: value for key, value in settings["train"].items() if key not in ("max_steps", "time_budget")}
    return {**settings, "train": train}


def claim(folder: Path, overwrite: bool) -> None:
    """Makes an empty folder for a new run.

    Args:
        folder: Where the run will be.
        overwrite: Whether a run that is there may be removed.

    Raises:
        RunFolderError: If the folder holds anything, unless it is a run and may be overwritten.
    """
    if folder.is_file():
        raise RunFolderError(f"{folder} is a file.", "Expected a folder for the run.", "Choose another --out.")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    names -= {f"{name}.part" for name in (CONFIG, SPLITS)}  # left behind by a run that was killed as it began
    if names:
        # Other projects have a config.yaml too, and must not be removed for it: splits.json comes right behind ours.
        is_run = RECORD in names or {CONFIG, SPLITS} <= names or names == {CONFIG}
        if not (overwrite and is_run):
            what = "another run" if is_run else "files that are not a run's"
            remedy = "Choose another --out" + (", or replace it with --overwrite." if is_run else ".")
            raise RunFolderError(f"The output folder {folder} holds {what}.", remedy=remedy)
        _remove_run(folder)
    folder.mkdir(parents=True, exist_ok=True)


def _remove_run(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)
