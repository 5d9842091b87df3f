"""How good the run is on parts of the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from predgen.data.targets import missing, number_of
from predgen.report.answered import AnsweredLabels, AnsweredNumbers
from predgen.report.blocks import Block, Figure, Paragraph, Section, Table
from predgen.report.bootstrap import Interval, row_interval
from predgen.report.charts.whiskers import Whisker, whisker_chart
from predgen.report.field import FEW, Field
from predgen.report.material import Material
from predgen.report.text import between, brief, count, fixed, short
from predgen.report.types import Indices

_MOST = 12  # slices of one kind
_DISTINCT = 10  # numbers of a column, above which they are put in quarters


class Slice(NamedTuple):
    """Some of the rows."""

    group: str
    name: str
    rows: Indices


def slices_section(field: Field, material: Material) -> Section:
    """By length, by target, by predicted label, and by the columns that were named."""
    answers, judged = field.answers, material.judged
    slices = _quarters("by length of the text", [float(len(body)) for body in judged.rows.bodies], " characters")
    if isinstance(answers, AnsweredLabels):
        slices += _by_label("by true label", answers.gold, answers)
        slices += _by_label("by predicted label", answers.chosen, answers)
    else:
        assert isinstance(answers, AnsweredNumbers)
        slices += _quarters("by target", answers.wanted.tolist(), "")
    for column in material.slices:
        slices += by_column(column, judged.rows.rows)
    good = answers.of_rows(answers.predicted)
    whole = float(good.mean())
    found = [row_interval(good[each.rows], answers.is_share, material.resamples, material.seed) for each in slices]
    title = f"{answers.measure[0].upper()}{answers.measure[1:]} by slice"
    whiskers, last = [], ""
    for each, interval in zip(slices, found, strict=True):
        whiskers.append(Whisker(each.name, *interval, weak=len(each.rows) < FEW,
                                group=each.group if each.group != last else ""))  # fmt: skip
        last = each.group
    said = _said(slices, found, whole, answers.measure)
    table = Table(
        title, ("slice", "", "rows", answers.measure, "95% interval"),
        [(each.group, short(each.name, 40), f"{len(each.rows):,}", fixed(one.value), between(one.low, one.high))
         for each, one in zip(slices, found, strict=True)],
        words=2, folded=True,
    )  # fmt: skip
    note = f"Dashed: all rows, {fixed(whole)}. Faint: fewer than {FEW} rows."
    figure = Figure(title, whisker_chart(whiskers, answers.measure, title, said, whole), note=note, table=table)
    blocks: list[Block] = [Paragraph(said), figure]
    if not material.slices:
        blocks.append(Paragraph("--slice COLUMN adds the values of a column."))
    return Section("Slices", blocks)


def by_column(column: str, rows: Sequence[Mapping[str, Any]]) -> list[Slice]:
    """A column's commonest values; quarters of numbers where they are many.

    Args:
        column: Its name.
        rows: N rows.
    """
    values = [row.get(column) for row in rows]
    there = [value for value in values if not missing(value)]
    numbers = [number_of(value) for value in values]
    group = f"by {short(column, 30)}"
    if there and all(number_of(value) is not None for value in there) and len(set(there)) > _DISTINCT:
        known = [place for place, value in enumerate(numbers) if value is not None and not missing(values[place])]
        slices = _quarters(group, [float(numbers[place] or 0.0) for place in known], "")
        slices = [each._replace(rows=np.array(known)[each.rows]) for each in slices]
        absent = [place for place in range(len(values)) if place not in set(known)]
        return slices + ([Slice(group, "(none)", np.array(absent))] if absent else [])
    names = ["(none)" if missing(value) else str(value) for value in values]
    return _by_name(group, names)


def _by_name(group: str, names: Sequence[str]) -> list[Slice]:
    order = [name for name, _ in Counter(names).most_common()]
    places = {name: list[int]() for name in order}
    for place, name in enumerate(names):
        places[name].append(place)
    slices = [Slice(group, name, np.array(places[name])) for name in order[:_MOST]]
    rest = [place for name in order[_MOST:] for place in places[name]]
    return slices + ([Slice(group, f"{len(order) - _MOST} others", np.array(rest))] if rest else [])


def _by_label(group: str, places: Indices, answers: AnsweredLabels) -> list[Slice]:
    return _by_name(group, [answers.space.labels[place] for place in places])


def _quarters(group: str, values: Sequence[float], unit: str) -> list[Slice]:
    """Four slices of about equally many rows; fewer where many values are alike."""
    every = np.asarray(values, dtype=np.float64)
    edges = np.unique(np.quantile(every, [0, 0.25, 0.5, 0.75, 1], method="nearest"))
    edges = edges if len(edges) > 1 else np.array([edges[0], edges[0]])
    slices = []
    for low, high in pairwise(edges):
        inside = (every >= low) & ((every <= high) if high == edges[-1] else (every < high))
        if inside.any():
            first, last = brief(float(every[inside].min())), brief(float(every[inside].max()))
            name = first if first == last else f"{first} to {last}"
            slices.append(Slice(group, f"{name}{unit}", np.flatnonzero(inside)))
    return slices


def _said(slices: Sequence[Slice], found: Sequence[Interval], whole: float, measure: str) -> str:
    """Which slices are surely unlike the whole."""
    apart = [
        f"{each.group} {short(each.name, 40)} ({fixed(interval.value)})"
        for each, interval in zip(slices, found, strict=True)
        if len(each.rows) >= FEW and not interval.low <= whole <= interval.high
    ]
    if not apart:
        return (
            f"No slice of {FEW} or more rows has an interval that leaves out the {measure} of all rows, {fixed(whole)}."
        )
    have = "has" if len(apart) == 1 else "have"
    listed = "; ".join(apart[:8]) + ("; …" if len(apart) > 8 else "")
    return (
        f"{count(len(apart), 'slice')} of {FEW} or more rows {have} a 95% interval that leaves out the {measure} of "
        f"all rows, {fixed(whole)}: {listed}. Of twenty slices one would by chance."
    )
