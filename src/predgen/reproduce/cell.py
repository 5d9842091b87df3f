"""One cell of the grid: what it is, what it is called, and the settings of its runs."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from predgen.config import RunConfig
from predgen.config_reading import load_config
from predgen.data.tasks import find
from predgen.data.tasks.task import SplitName, Task
from predgen.errors import ConfigError, nearest
from predgen.peft_methods import peft_method
from predgen.reproduce.experiments import EXPERIMENTS, Experiment, Variant
from predgen.reproduce.methods import find_method
from predgen.reproduce.models import find_model
from predgen.reproduce.scales import Scale, find_scale

# Table 3 has no row for the training set of Table 5. LLM-Adapters, whose protocol section F follows, prints these in
# its README; the sampling steps are the best of Fig. 4.
_MATH10K: dict[str, Any] = {
    "sampling": {"steps": 1000},
    "train": {"learning_rate": 3e-4, "batch_size": 4, "accumulate": 4, "epochs": 3},
}
# Nor for SST-2, which is in no table of the paper: what its other classification sets have.
_OTHERS: dict[str, Any] = {
    "sampling": {"steps": 500},
    "train": {"learning_rate": 2e-3, "batch_size": 10, "accumulate": 3, "epochs": 10, "warmup": 500},
}


@dataclass(frozen=True)
class Cell:
    """What is fitted for one place of a table; equal cells of several tables are one cell.

    Args:
        task: What is trained on, by its name.
        model: As `predgen.reproduce.models.find_model` takes it.
        peft: A PEFT method.
        method: A name in `predgen.reproduce.methods.METHODS`.
        variant: Of an ablation; its name is "" for what the method does by default.
        seed: Of training; the rows that are drawn do not follow it.
        scale: A name in `predgen.reproduce.scales.SCALES`.
        changed: Assignments over everything, as ``--set`` takes them.
        rates: Learning rates to try instead of the scale's.
    """

    task: str
    model: str
    peft: str
    method: str
    variant: Variant
    seed: int
    scale: str
    changed: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()

    @property
    def id(self) -> str:
        """Its name among files; it follows from what the cell is, and from nothing else."""
        model = find_model(self.model).name
        parts = [self.scale, self.task, model, self.peft, self.method, self.variant.name, f"s{self.seed}"]
        if self.rates:
            parts.append("lr" + "-".join(f"{rate:g}" for rate in self.rates))
        if self.changed:
            parts.append(hashlib.sha256("\n".join(self.changed).encode()).hexdigest()[:8])
        return "_".join(part for part in parts if part)

    def facts(self) -> dict[str, Any]:
        """As stored with its results."""
        return {
            "task": self.task,
            "model": find_model(self.model).name,
            "peft": self.peft,
            "method": self.method,
            "variant": self.variant.name,
            "seed": self.seed,
            "scale": self.scale,
            "changed": list(self.changed),
            "rates": list(self.rates),
        }


def cells_of(
    experiment: Experiment,
    scale: Scale,
    models: Sequence[str] = (),
    peft: Sequence[str] = (),
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    changed: Sequence[str] = (),
    rates: Sequence[float] = (),
) -> list[Cell]:
    """The cells of a table; what is not named is the scale's, or the table's.

    Raises:
        ConfigError: If a model or method is unknown, or the table has no such column.
        DataError: If a task is unknown.
    """
    ((_, names),) = tasks_of([experiment], tasks)
    columns = {column.task: column.trained_on for column in experiment.columns}
    trained = dict.fromkeys(columns.get(name, name) for name in names or columns)
    chosen_peft = list(peft or scale.peft or experiment.peft)
    chosen_methods = list(methods or experiment.methods or scale.methods)
    for name in chosen_peft:
        peft_method(name)
    for name in chosen_methods:
        find_method(name)
    variants = experiment.variants
    if scale.name == "paper" and experiment.paper_variants is not None:
        variants = experiment.paper_variants
    return [
        Cell(task, model, adapter, method, variant, seed, scale.name, tuple(changed), tuple(rates))
        for task in trained
        for model in [find_model(name).base for name in (models or scale.models or experiment.models)]
        for adapter in chosen_peft
        for method in chosen_methods
        for variant in variants
        for seed in (seeds or scale.seeds)
    ]


def tasks_of(experiments: Sequence[Experiment], tasks: Sequence[str]) -> list[tuple[Experiment, list[str]]]:
    """Each experiment with those of the tasks that it has; one without any is left out, and an empty list asks for all.

    Raises:
        ConfigError: If a task is in none of them.
        DataError: If a task is unknown.
    """
    names = [find(task).name for task in tasks]
    known = {each.name: {column.task for column in each.columns} | set(each.tasks()) for each in experiments}
    for name in names:
        if not any(name in columns for columns in known.values()):
            where = " or ".join(each.title.split(":")[0] for each in experiments)
            raise ConfigError(f"{where} has no column {name!r}:", nearest(name, set().union(*known.values())))
    shared = [(each, [name for name in names if name in known[each.name]]) for each in experiments]
    return [(each, mine) for each, mine in shared if mine or not names]


def rates_of(cell: Cell) -> tuple[float, ...]:
    """The learning rates that the cell tries; the same for every method of a scale."""
    scale = find_scale(cell.scale)
    return cell.rates or scale.rates or (float(preset_of(find(cell.task))["train"]["learning_rate"]),)


def settings_of(cell: Cell, rate: float) -> dict[str, Any]:
    """The nested settings of one of the cell's runs, from the general to the special; where it goes is not among them.

    Args:
        cell: The cell.
        rate: Of the learning rates that it tries.
    """
    task, scale, method = find(cell.task), find_scale(cell.scale), find_method(cell.method)
    settings = task.settings()
    settings["data"] = {**settings["data"], **_sizes(task, scale)}
    settings["data"]["eval"] = None  # it is scored once the rate is chosen, and by nothing that chooses
    layers: list[Mapping[str, Any]] = [preset_of(task) if not scale.rates else {}, scale.settings]
    layers += [method.settings, method.by_kind.get(task.answers, {}), cell.variant.settings]
    model = find_model(cell.model)
    layers.append(
        {
            "model": {"name": cell.model},
            "peft": {"method": cell.peft},
            "train": {"seed": cell.seed, "learning_rate": rate},
        }
    )
    if scale.name == "paper":
        layers.append({"train": {"precision": model.precision}})
    for layer in layers:
        settings = merged(settings, layer)
    if cell.variant.share is not None:
        share = cell.variant.share
        steps = share if share <= 1 else max(2, round(share * total_steps(task, settings)))
        settings = merged(settings, {"sampling": {"steps": steps}})
    return settings


def config_of(cell: Cell, rate: float, out: str | None = None) -> RunConfig:
    """The settings of one of the cell's runs, checked.

    Args:
        cell: The cell.
        rate: Of the learning rates that it tries.
        out: The run folder.

    Raises:
        ConfigError: If `changed` names an unknown setting, or a value does not fit.
    """
    return load_config(None, list(cell.changed), {"out": out}, settings_of(cell, rate))


def digest_of(cell: Cell) -> str:
    """SHA-256 over what is asked of its runs: what was made with another is another result.

    Seed and learning rates are left out: a cell that has tried more rates has chosen among more, and its record names
    them.
    """
    asked = settings_of(cell, rates_of(cell)[0])
    del asked["train"]["seed"], asked["train"]["learning_rate"]
    return hashlib.sha256(json.dumps([asked, cell.changed], sort_keys=True).encode()).hexdigest()


def reports_of(task: Task) -> list[tuple[Task, SplitName]]:
    """The sets of rows that a run on a task is scored on, the one that its tables show in front.

    All official splits with labels but the training rows, so that published results on either have something to stand
    beside; of math10k the five test sets of Table 5.
    """
    tested = [column.task for column in EXPERIMENTS["table5"].columns if column.trained_on == task.name]
    if tested:
        return [(find(name), find(name).reported) for name in tested]
    others = [split for split in task.rows if split not in ("train", task.reported)]
    return [(task, split) for split in (task.reported, *others)]


def total_steps(task: Task, settings: Mapping[str, Any]) -> int:
    """Optimizer steps of a run, by the number of rows that the task is published with.

    Args:
        task: What is trained on.
        settings: Nested; what is missing has the default.
    """
    config = load_config(None, (), None, settings)
    if config.train.max_steps is not None:
        return config.train.max_steps
    batches = math.ceil(training_rows(task, config) / config.train.batch_size)
    return max(1, math.ceil(config.train.epochs * math.ceil(batches / config.train.accumulate)))


def training_rows(task: Task, config: RunConfig) -> int:
    """How many rows a run trains on, by the number that the task is published with."""
    rows = task.rows.get("train", 0)
    if config.data.train_size is not None:
        return round(config.data.train_size)
    dev = 0.0 if config.data.dev is not None else config.data.dev_size
    return rows - round(dev * rows if dev <= 1 else dev)


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings laid over others."""
    result = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def variant_named(experiment: Experiment, name: str) -> Variant:
    """An experiment's variant as the tables show it; the plain one where it has none of that name."""
    known = (*experiment.variants, *(experiment.paper_variants or ()))
    return next((variant for variant in known if variant.name == name), replace(Variant(), name=name, title=name))


def preset_of(task: Task) -> dict[str, Any]:
    """A task's row of Table 3 as nested settings, or what stands in for it where it has none."""
    if task.preset is not None:
        return task.preset.settings()
    return _MATH10K if task.kind == "arithmetic" else _OTHERS


def _sizes(task: Task, scale: Scale) -> dict[str, Any]:
    """Which rows train and select: official ones to select on where the task says so, else a part of training's."""
    sizes: dict[str, Any] = {"test_size": 0}
    if scale.train_rows is not None:
        # A small training set may not hold so many rows beside those to select on.
        spare = task.rows.get("train", scale.train_rows) - (0 if task.dev is not None else scale.dev_rows or 0)
        sizes["train_size"] = min(scale.train_rows, spare)
    if scale.dev_rows is not None:
        sizes["dev_max_rows" if task.dev is not None else "dev_size"] = scale.dev_rows
    return sizes
