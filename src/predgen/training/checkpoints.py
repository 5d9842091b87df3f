"""Checkpoints that survive: there as a whole or not at all, checked by their hashes, and free of pickles.

A checkpoint is a folder ``checkpoint-<step>`` of safetensors and JSON files and a manifest of their SHA-256. It is
written under another name and renamed, so that a run killed at any moment leaves the last good one behind.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from predgen.downloads import sha256_of
from predgen.errors import RunFolderError
from predgen.sharded import whole

MANIFEST = "manifest.json"
_PREFIX, _PARTIAL = "checkpoint-", "partial-"


@dataclass(frozen=True)
class Checkpoint:
    """What training needs to go on as if it had never stopped.

    Args:
        tensors: File name → tensors by name.
        values: File name → what JSON holds.
    """

    tensors: Mapping[str, Mapping[str, Tensor]]
    values: Mapping[str, Any]


def folder_of(root: Path, step: int) -> Path:
    """Where the checkpoint of a step stands."""
    return root / f"{_PREFIX}{step}"


def step_of(folder: Path) -> int:
    """The optimizer step of a checkpoint's folder."""
    return int(folder.name.removeprefix(_PREFIX))


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint; at the end it is there as a whole.

    Args:
        folder: Its place, as `folder_of` gives it.
        checkpoint: What goes in.

    Raises:
        RunFolderError: If it cannot be written, a full disk among the reasons; what was there before is untouched.
    """
    partial = folder.with_name(folder.name.replace(_PREFIX, _PARTIAL))
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, tensors in checkpoint.tensors.items():
            save_file(dict(tensors), partial / f"{name}.safetensors")
        for name, value in checkpoint.values.items():
            (partial / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
        hashes = {path.name: sha256_of(path) for path in sorted(partial.iterdir())}
        (partial / MANIFEST).write_text(json.dumps(hashes, indent=1), encoding="utf-8")
        for path in partial.iterdir():
            _flush(path)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except (OSError, SafetensorError) as problem:
        shutil.rmtree(partial, ignore_errors=True)
        good = [step_of(path) for path in _folders(folder.parent)]
        raise RunFolderError(
            f"The checkpoint of step {step_of(folder)} could not be written: {problem}.",
            f"The last good one is that of step {max(good)}." if good else "There is no earlier one.",
            "Make room, then go on with `predgen fit --resume`.",
        ) from problem


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """One file of tensors, of a checkpoint that `find_checkpoint` found sound."""
    return load_file(folder / f"{name}.safetensors")


def has_tensors(folder: Path, name: str) -> bool:
    """Whether it has such a file of tensors."""
    return (folder / f"{name}.safetensors").exists()


def read_values(folder: Path, name: str) -> Any:
    """One file of values, likewise."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def keep_only(root: Path, folders: set[Path]) -> None:
    """Removes all other checkpoints."""
    for folder in _folders(root):
        if folder not in folders:
            shutil.rmtree(folder, ignore_errors=True)


def find_checkpoint(root: Path, say: Callable[[str], None]) -> Path | None:
    """The latest sound checkpoint; damaged ones are passed over, aloud.

    Args:
        root: The folder that holds them.
        say: Takes one line at a time.

    Returns:
        Its folder, or None where there is none at all.

    Raises:
        RunFolderError: If there are checkpoints and none is sound.
    """
    damaged = []
    for folder in sorted(_folders(root), key=step_of, reverse=True):
        reason = damage_of(folder)
        if not reason:
            return folder
        damaged.append(folder.name)
        say(f"The checkpoint of step {step_of(folder)} is damaged ({reason}); an earlier one is looked for.")
    if damaged:
        raise RunFolderError(
            f"All checkpoints in {root} are damaged: {', '.join(damaged)}.", remedy="Fit again with --overwrite."
        )
    return None


def _folders(root: Path) -> list[Path]:
    return [path for path in root.glob(f"{_PREFIX}*") if path.is_dir()] if root.is_dir() else []


def damage_of(folder: Path) -> str:
    """What is wrong with a checkpoint; empty where it is as it was written."""
    try:
        hashes = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        for name, expected in hashes.items():
            if sha256_of(folder / name) != expected:
                return f"{name} is not what was written"
    except (OSError, ValueError, AttributeError) as problem:
        return str(problem)
    return ""


def _flush(path: Path) -> None:
    """Onto the disk itself, so that a rename cannot get there before the content."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def optimizer_parts(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's `state_dict` → its tensors, named ``<parameter>.<name>``, and the rest, which JSON can hold.

    Tensors that are divided among processes are put together, for which all must ask.
    """
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for parameter, entries in state["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{parameter}.{name}"] = whole(value.detach()).cpu().contiguous()
            else:
                plain.setdefault(str(parameter), {})[name] = value
    return tensors, {"groups": state["param_groups"], "state": plain}


def optimizer_state(tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> dict[str, Any]:
    """What `optimizer_parts` took apart. Most optimizers number their parameters; peft's for LoRA-FA names them."""
    state: dict[int | str, dict[str, Any]] = {}
    for parameter, values in rest["state"].items():
        state[_number(parameter)] = dict(values)
    for key, tensor in tensors.items():
        parameter, _, name = key.rpartition(".")
        state.setdefault(_number(parameter), {})[name] = tensor
    return {"state": state, "param_groups": [dict(group) for group in rest["groups"]]}


def _number(parameter: str) -> int | str:
    return int(parameter) if parameter.isdigit() else parameter


def random_state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The global generators' states: torch's as tensors, python's and numpy's as what JSON can hold."""
    tensors = {"cpu": torch.random.get_rng_state()}
    for number, state in enumerate(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []):
        tensors[f"cuda.{number}"] = state
    name, keys, *rest = np.random.get_state(legacy=True)
    version, words, normal = random.getstate()
    return tensors, {"numpy": [name, np.asarray(keys).tolist(), *rest], "python": [version, list(words), normal]}


def restore_random_state(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Puts back what `random_state` took."""
    torch.random.set_rng_state(tensors["cpu"])
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            if f"cuda.{number}" in tensors:
                torch.cuda.set_rng_state(tensors[f"cuda.{number}"], number)
    name, keys, *rest = values["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    version, words, normal = values["python"]
    random.setstate((version, tuple(words), normal))
