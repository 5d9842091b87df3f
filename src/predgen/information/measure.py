"""`predgen information`: which rows, whose states, and what each of them knows of the target."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predgen.answers.spaces import LabelSet, LogGrid
from predgen.data.columns import read_fields
from predgen.data.splits import sample_rows
from predgen.data.table import Table
from predgen.errors import ConfigError, DataError
from predgen.evaluate import check_targets
from predgen.information.answers import check_shared
from predgen.information.estimate import (
    FEWEST_ROWS,
    Estimate,
    EstimateSettings,
    estimate,
    split_held_out,
)
from predgen.information.layout import Layout
from predgen.information.one_answer import OneAnswer
from predgen.information.reduce import principal_components
from predgen.information.representations import Representations, check_kind, extract, kind_of, layer_count
from predgen.information.targets import Target, continuous_target, discrete_target
from predgen.training.run_folder import SPLITS, read_json

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Progress = Callable[[int], None]

COMPONENTS = (1, 2, 4, 6, 8, 10, 12, 16)  # of Fig. 7
LAYERS_SHOWN = 7  # of --by-layer, evenly from the embeddings to the last


@dataclass(frozen=True)
class MeasureSettings:
    """What is measured.

    Args:
        layout: Which tokens stand for a run that writes.
        components: Principal components of each of them.
        estimators: In `ESTIMATORS`.
        estimate: Seeds and sizes.
        max_rows: A seeded sample of the rows; None: all.
        sweep: Also for 1 to 16 components (Fig. 7).
        by_layer: Also for layers below the last.
        kind: Only runs of this representation are taken, "pooled" or "tokens"; None: each run's own.
    """

    layout: Layout = field(default_factory=Layout)
    components: int = 10
    estimators: tuple[str, ...] = ("mine", "probe")
    estimate: EstimateSettings = field(default_factory=EstimateSettings)
    max_rows: int | None = 2000
    sweep: bool = False
    by_layer: bool = False
    kind: str | None = None


@dataclass(frozen=True)
class Measured:
    """One estimate and what it is of.

    Args:
        run: The run folder.
        method: Its method.
        representation: In words.
        layer: Of the model; the last is what the method decides by.
        components: Principal components a token; None where the states are whole.
        dimensions: Numbers a row.
        estimate: The information.
    """

    run: str
    method: str
    representation: str
    layer: int
    components: int | None
    dimensions: int
    estimate: Estimate


@dataclass(frozen=True)
class Information:
    """All that was measured on the same rows.

    Args:
        data: Their source.
        rows: How many.
        cap: Which entropy caps the information, in words.
        ceiling: That entropy in nats.
        layout: In words.
        measured: Each run as it decides, then its controls.
        sweep: By number of components.
        by_layer: By layer.
        notes: What a reader should know.
    """

    data: str
    rows: int
    cap: str
    ceiling: float | None
    layout: str
    measured: list[Measured]
    sweep: list[Measured]
    by_layer: list[Measured]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """A JSON form, its keys the fields' names."""

        def plain(measured: Sequence[Measured]) -> list[dict[str, Any]]:
            return [{**one.__dict__, "estimate": one.estimate.to_json()} for one in measured]

        return {
            **self.__dict__,
            "measured": plain(self.measured),
            "sweep": plain(self.sweep),
            "by_layer": plain(self.by_layer),
        }


def unseen_rows(folders: Sequence[Path], table: Table, max_rows: int | None) -> tuple[list[int], str]:
    """Rows that no run has trained or selected on, and what to say of them.

    Args:
        folders: Run folders.
        table: The rows.
        max_rows: A sample of so many.

    Raises:
        DataError: If too few are left.
    """
    seen = set[int]()
    for folder in folders:
        splits = read_json(folder, SPLITS)
        for name in ("train", "dev"):
            if splits[name]["fingerprint"] == table.fingerprint:
                seen.update(splits[name]["rows"])
    left = [row for row in range(len(table.good_rows)) if row not in seen]
    chosen = [left[place] for place in sample_rows(len(left), max_rows, 0)]
    if len(chosen) < FEWEST_ROWS:
        raise DataError(
            f"{table.name} has {len(table.good_rows)} rows, of which {len(left)} were neither trained nor selected on"
            f" and {len(chosen)} are to be read.",
            f"An estimate needs at least {FEWEST_ROWS}; a thousand or more are better.",
            "Give more rows, or raise --max-rows.",
        )
    known = f" ({len(seen)} that a run trained or selected on are left out)" if seen else ""
    return chosen, f"{len(chosen)} of {len(table.good_rows)} rows of {table.name}{known}."


def measure(
    folders: Sequence[Path],
    load_run: Callable[[Path], OneAnswer],
    table: Table,
    settings: MeasureSettings,
    counting: Callable[[str, int], Any],
) -> Information:
    """Reads the rows with every run and estimates what its states know of the target.

    Args:
        folders: Run folders that predict the same target.
        load_run: Loads the answer of one that is to be looked into; one after another, so that one model is in memory.
        table: Rows with that target.
        settings: What is measured.
        counting: Unit and total → a context that yields a progress function.

    Raises:
        DataError: If rows are too few, the target is constant, or the runs predict different targets.
        ConfigError: If a run lacks the representation that was asked for.
    """
    if not folders:
        raise ConfigError("No run was named.", "Expected one or more run folders, then the data.")
    numbers, note = unseen_rows(folders, table, settings.max_rows)
    rows = [table.good_rows[number] for number in numbers]
    fit_rows, held_out = split_held_out(len(rows), settings.estimate)
    notes, jobs, target, asked = [note], list[_Job](), None, None
    for folder in folders:
        answer = load_run(folder)
        run = answer.run
        check_shared(run)
        if settings.kind is not None:
            check_kind(run, settings.kind)
        check_targets([answer.target], table)
        column, label, task = answer.target.column, answer.target.label, answer.target.task
        if asked not in (None, (column, label, task)):
            raise DataError(
                f"{folder} predicts {_said(column, label, task)}, the runs before it {_said(*asked)}.",
                "Information can be compared only about one target.",
            )
        asked = column, label, task
        target = target or target_of(answer, rows, fit_rows)
        layers = _layers(layer_count(run), settings.by_layer)
        with counting("rows", len(rows)) as progress:
            bodies = [run.body(row) for row in rows]
            kept = extract(run, folder, bodies, settings.layout, layers, progress, answer.field)
        if kept.cut:
            notes.append(f"{folder}: {kept.cut} texts are longer than the context; what was read of them counts.")
        jobs.append(_Job(str(folder), run.record.config["method"], kind_of(run), kept, layers))
        del run, answer
    assert target is not None
    plans = [plan for job in jobs for plan in _plans(job, settings, fit_rows)]
    found: dict[str, list[Measured]] = {"measured": [], "sweep": [], "by_layer": []}
    with counting("estimates", len(plans)) as progress:
        for plan in plans:
            made = estimate(plan.states(), target, fit_rows, held_out, plan.estimator, settings.estimate)
            found[plan.into].append(plan.measured(made))
            progress(1)
    return Information(
        data=table.name,
        rows=len(rows),
        cap=target.cap,
        ceiling=target.entropy,
        layout=f"{settings.layout}, {settings.components} principal components each",
        notes=notes,
        **found,
    )


def _said(column: str, label: str | None, task: str) -> str:
    return f"{column!r} ({task if label is None else f'whether it has {label!r}'})"


def target_of(answer: OneAnswer, rows: Sequence[dict[str, Any]], fit_rows: Integers) -> Target:
    """A run's target as the estimators take it: its classes, or its numbers as the answers write them.

    Args:
        answer: Whose answers.
        rows: N rows.
        fit_rows: The rows that a rank map may be learned from.

    Raises:
        DataError: If the target is constant, or cannot be read.
    """
    (truth,) = read_fields(rows, [answer.target])
    space = answer.run.space
    if isinstance(space, LabelSet):
        return discrete_target(truth)
    if isinstance(space, LogGrid):  # whose step grows with the number: the smallest is that at which nothing is lost
        step = 10.0 ** (math.floor(math.log10(space.smallest) + 1e-9) - space.digits + 1)
    else:
        step = 10.0**-space.decimals
    return continuous_target([float(value) for value in truth], fit_rows, step=step)


@dataclass(frozen=True)
class _Job:
    """A run whose states are on disk."""

    run: str
    method: str
    kind: str
    kept: Representations
    layers: tuple[int, ...]


@dataclass(frozen=True)
class _Plan:
    """One estimate to be made."""

    job: _Job
    representation: str
    layer: int
    components: int | None
    states: Callable[[], Floats]
    estimator: str
    into: str

    def measured(self, made: Estimate) -> Measured:
        width = self.states().shape[1]
        return Measured(self.job.run, self.job.method, self.representation, self.layer, self.components, width, made)


def _plans(job: _Job, settings: MeasureSettings, fit_rows: Integers) -> Iterator[_Plan]:
    last, reduced = job.layers[-1], _Reduced(job.kept, fit_rows, settings.layout.slots)

    def plans(layer: int, components: int, into: str, estimators: Iterable[str], whole: bool) -> Iterator[_Plan]:
        states: list[tuple[str, int | None, Callable[[], Floats]]] = []
        if job.kind == "tokens":
            states.append(("tokens", components, partial(reduced.tokens, layer, components)))
        else:
            if whole:
                states.append(("pooled", None, partial(reduced.whole, layer)))
            states.append(("pooled, reduced", components, partial(reduced.pooled, layer, components)))
        for name, count, take in states:
            for estimator in estimators:
                yield _Plan(job, name, layer, count, take, estimator, into)

    yield from plans(last, settings.components, "measured", settings.estimators, whole=True)
    first = settings.estimators[:1]
    if settings.sweep:
        for components in COMPONENTS:
            yield from plans(last, components, "sweep", first, whole=False)
    if settings.by_layer:
        for layer in job.layers:
            yield from plans(layer, settings.components, "by_layer", first, whole=False)


class _Reduced:
    """States of one run with their components, the most that are ever asked for learned once a layer."""

    def __init__(self, kept: Representations, fit_rows: Integers, slots: int) -> None:
        self._kept, self._fit_rows, self._slots = kept, fit_rows, slots
        self._found: dict[tuple[int, int], Floats] = {}

    def whole(self, layer: int) -> Floats:
        """(N, d)."""
        return self._kept.read(layer)[0]

    def pooled(self, layer: int, components: int) -> Floats:
        """(N, slots · components), or fewer."""
        return self._components(layer, 0, self._slots * COMPONENTS[-1])[:, : self._slots * components]

    def tokens(self, layer: int, components: int) -> Floats:
        """(N, slots · components), or fewer."""
        each = [self._components(layer, slot, COMPONENTS[-1]) for slot in range(self._slots)]
        return np.concatenate([part[:, :components] for part in each], axis=1)

    def _components(self, layer: int, slot: int, most: int) -> Floats:
        if (layer, slot) not in self._found:
            parts = partial(self._kept.parts, layer, slot)
            self._found[layer, slot] = principal_components(parts, self._kept.rows, self._fit_rows, most)
        return self._found[layer, slot]


def _layers(count: int, several: bool) -> tuple[int, ...]:
    if not several:
        return (count,)
    return tuple(sorted({round(share) for share in np.linspace(0, count, min(LAYERS_SHOWN, count + 1))}))
