"""Going on with a run that was stopped: is it the same one, and from where."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from predgen.config import RunConfig
from predgen.config_reading import load_config
from predgen.errors import RunFolderError
from predgen.training.checkpoints import find_checkpoint, step_of
from predgen.training.prepare import Prepared
from predgen.training.results import splits_of
from predgen.training.run_folder import CHECKPOINTS, CONFIG, LOG, RECORD, SPLITS, read_json, write_text

Say = Callable[[str], None]

# Where a run lies, and how it is watched, changes none of its numbers.
_FREE = ("out", "train.report_to", "train.time_budget", "train.eval_batch_size")


def can_go_on(folder: Path) -> bool:
    """Whether a folder holds a run that was started and not finished."""
    return (folder / CONFIG).exists() and not (folder / RECORD).exists()


def stored_steps(config: RunConfig, folder: Path) -> RunConfig:
    """The settings with the number of steps that the first start took from its time budget."""
    if config.train.time_budget is None or config.train.max_steps is not None:
        return config
    return replace(config, train=replace(config.train, max_steps=load_config(folder / CONFIG).train.max_steps))


def checkpoint_to_go_on_from(
    folder: Path, config: RunConfig, prepared: Prepared, accept_changes: bool, say: Say
) -> Path | None:
    """Compares a stopped run with what is asked for now, and finds its last good checkpoint.

    Args:
        folder: The run folder.
        config: The resolved settings of now.
        prepared: The rows of now.
        accept_changes: Whether differences are only said.
        say: Takes one line at a time.

    Returns:
        The checkpoint's folder, or None where the run was stopped before its first.

    Raises:
        RunFolderError: If settings or rows have changed and that was not accepted, or no checkpoint is sound.
    """
    before = load_config(folder / CONFIG)
    changes = _config_changes(before.to_dict(), _with_passes_of(before, config).to_dict())
    changes += _row_changes(read_json(folder, SPLITS), splits_of(prepared))
    if changes and not accept_changes:
        raise RunFolderError(
            f"The run in {folder} was started otherwise:\n  " + "\n  ".join(changes) + "\n",
            remedy="Undo the changes, or go on all the same with --accept-changes (the result is then no plain run's).",
        )
    for change in changes:
        say(f"Changed since the start: {change}.")
    checkpoint = find_checkpoint(folder / CHECKPOINTS, say)
    if checkpoint is None:
        say("The run was stopped before its first checkpoint; it starts anew.")
    else:
        say(f"Going on from step {step_of(checkpoint)}.")
    return checkpoint


def _with_passes_of(before: RunConfig, now: RunConfig) -> RunConfig:
    """The settings of now, with the size of passes of before where a step has the same rows.

    How many of them a pass takes changes no result beyond rounding, unless a loss or a coin is asked for by pass.
    """
    sizes = [
        (each.train.batch_size * each.train.accumulate, each.loss_of, each.sampling.mode) for each in (before, now)
    ]
    if sizes[0] != sizes[1] or "batch" in sizes[0]:
        return now
    train = replace(now.train, batch_size=before.train.batch_size, accumulate=before.train.accumulate)
    return replace(now, train=train)


def cut_log(folder: Path, step: int) -> None:
    """Takes out of the training log what was written after a step: those steps will be taken again."""
    log = folder / LOG
    kept = []
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            break  # half a line: the run was killed while it wrote
        if record["step"] <= step:
            kept.append(line + "\n")
    write_text(log, "".join(kept))


def _config_changes(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    changes = []
    for key in before:
        name, old, new = f"{prefix}{key}", before[key], now[key]
        if name in _FREE:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping) and old.keys() == new.keys():
            changes += _config_changes(old, new, f"{name}.")
        elif old != new:
            changes.append(f"{name}: {old!r} → {new!r}")
    return changes


def _row_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    changes = []
    for part, old in before.items():
        new = now[part]
        if old["fingerprint"] != new["fingerprint"]:
            changes.append(f"the content of {new['source']} ({part} rows)")
        elif old["rows"] != new["rows"]:
            changes.append(f"which rows are {part} rows ({len(old['rows'])} → {len(new['rows'])})")
    return changes
