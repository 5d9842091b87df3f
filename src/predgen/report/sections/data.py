"""The data: how many rows, how long, how balanced, and what stands in them twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from predgen.answers.spaces import LabelSet
from predgen.data.columns import YES
from predgen.evaluation import Targets
from predgen.report.blocks import Block, Figure, Figures, Key, Listing, Notice, Paragraph, Section, Table
from predgen.report.charts.bars import bar_chart, histogram
from predgen.report.charts.canvas import mark_of
from predgen.report.leaks import repeats_of, twins_of
from predgen.report.material import PART_NAMES, Material, Rows
from predgen.report.text import count, number, percent, short, shown
from predgen.run import Run

_MOST = 5000  # rows of a part whose tokens are counted
_LABELS = 16  # shown one by one
_BINS = 16
Parts = dict[str, Rows]


def data_section(material: Material) -> Section:
    """Parts, lengths, targets, doubles."""
    judged = material.judged
    parts = {PART_NAMES[name]: rows for name, rows in material.parts.items()}
    if judged.name == "new":
        parts = {name: rows for name, rows in parts.items() if name != "test"} | {"new": judged.rows}
    first = next(iter(material.run.parts.values()))
    lengths = {name: _lengths(first, rows) for name, rows in parts.items()}
    blocks: list[Block] = [_overview(parts, lengths)]
    if material.absent:
        blocks.append(Notice(" ".join(material.absent), "Not shown"))
    figures = [_length_figure({name: tokens for name, (tokens, _) in lengths.items()})]
    answers = list(material.run.parts.items())
    if len(answers) > 1 and all(target.label is not None for target in material.run.targets):
        figures.append(_share_of_yes([name for name, _ in answers], parts))
    else:
        figures += [
            _target_figure(name, run, {part: rows.truth[place] for part, rows in parts.items()}, len(answers) > 1)
            for place, (name, run) in enumerate(answers[:6])
        ]
    blocks.append(Figures(figures))
    blocks += _doubles(parts)
    return Section("The data", blocks)


def _lengths(run: Run, rows: Rows) -> tuple[list[int], list[int]]:
    """Of each row, the prompt's tokens, and how many did not fit; of evenly spaced rows where they are many."""
    step = max(1, -(-len(rows) // _MOST))
    encoded = run.encoder.rows(rows.bodies[::step])
    tokens = [0] * len(encoded.cut)
    for row, prompt in zip(encoded.rows, encoded.prompts, strict=True):
        tokens[row] += len(prompt)
    return tokens, encoded.cut


def _overview(parts: Parts, lengths: dict[str, tuple[list[int], list[int]]]) -> Table:
    rows = []
    for name, part in parts.items():
        tokens, cut = lengths[name]
        middle, most = np.median(tokens), np.quantile(tokens, 0.95)
        too_long = sum(map(bool, cut))
        rows.append(
            (name, short(part.source, 40), f"{len(part):,}", f"{middle:.0f}", f"{most:.0f}", f"{max(tokens):,}",
             f"{too_long:,}" if too_long else "none")
        )  # fmt: skip
    columns = ("part", "source", "rows", "median tokens", "95% within", "longest", "cut short")
    return Table("Rows and their prompts' lengths", columns, rows, words=2)


def _length_figure(lengths: dict[str, list[int]]) -> Figure:
    every = np.concatenate([np.asarray(tokens) for tokens in lengths.values()])
    edges = np.histogram_bin_edges(every, min(_BINS, max(2, len(set(every.tolist())))))
    series = [(name, _shares(tokens, edges)) for name, tokens in lengths.items()]
    return _histogram("Length of prompts", edges, series, "tokens")


def _target_figure(name: str, run: Run, truth: dict[str, Targets], several: bool) -> Figure:
    title = f"Targets: {short(name, 40)}" if several else "Targets"
    if not isinstance(run.space, LabelSet):
        numbers = {part: [float(value) for value in column] for part, column in truth.items()}
        every = np.concatenate(list(numbers.values()))
        edges = np.histogram_bin_edges(every, min(_BINS, max(2, len(set(every.tolist())))))
        return _histogram(title, edges, [(part, _shares(values, edges)) for part, values in numbers.items()], "target")
    counts = {part: Counter(str(value) for value in column) for part, column in truth.items()}
    order = list(run.space.labels)
    if not run.space.ordered:
        order.sort(key=lambda label: -next(iter(counts.values()))[label])
    shares = {part: [counts[part][label] / len(truth[part]) for label in order] for part in truth}
    left_out = len(order) - _LABELS
    named = order[:_LABELS] + ([f"{left_out} other labels"] if left_out > 0 else [])
    series = [
        (part, values[:_LABELS] + ([sum(values[_LABELS:])] if left_out > 0 else [])) for part, values in shares.items()
    ]
    return _bars(title, named, series)


def _share_of_yes(names: Sequence[str], parts: Parts) -> Figure:
    series = [
        (part, [sum(target == YES for target in rows.truth[place]) / len(rows) for place in range(len(names))][:40])
        for part, rows in parts.items()
    ]
    return _bars("Share of the rows that have each label", names[:40], series)


def _bars(title: str, names: Sequence[str], series: Sequence[tuple[str, Sequence[float]]]) -> Figure:
    largest = max(range(len(names)), key=lambda place: series[0][1][place])
    said = f"{short(names[largest])} is the commonest of {series[0][0]} with {percent(series[0][1][largest])}."
    rows = [(short(name, 60), *(percent(values[place], 1) for _, values in series)) for place, name in enumerate(names)]
    table = Table(title, ("label", *(part for part, _ in series)), rows, folded=True)
    return Figure(title, bar_chart(names, series, title, said), _keys(series), table=table)


def _histogram(
    title: str,
    edges: np.ndarray[tuple[int], np.dtype[np.float64]],
    series: Sequence[tuple[str, list[float]]],
    label: str,
) -> Figure:
    bounds = [float(edge) for edge in edges]
    names = ", ".join(name for name, _ in series)
    said = f"{label} from {number(bounds[0])} to {number(bounds[-1])}, as shares of the rows of {names}."
    rows = [
        (f"{number(low)} to {number(high)}", *(percent(values[place], 1) for _, values in series))
        for place, (low, high) in enumerate(pairwise(bounds))
    ]
    table = Table(title, (label, *(name for name, _ in series)), rows, folded=True)
    return Figure(title, histogram(bounds, series, label, title, said), _keys(series), table=table)


def _keys(series: Sequence[tuple[str, Sequence[float]]]) -> list[Key]:
    return [Key(mark_of(place), name) for place, (name, _) in enumerate(series)] if len(series) > 1 else []


def _shares(values: Sequence[float], edges: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[float]:
    found: list[float] = (np.histogram(values, edges)[0] / len(values)).tolist()
    return found


def _doubles(parts: Parts) -> list[Block]:
    twins = twins_of({name: (rows.bodies, rows.numbers) for name, rows in parts.items()})
    blocks: list[Block] = []
    for each in twins:
        but = f", {each.alike:,} of them but for case, blanks or punctuation" if each.alike else ", word for word"
        examples = "; ".join(
            f"row {number} = {each.earlier} row {other}: “{short(body, 60)}”"
            for number, other, body in each.examples[:3]
        )
        blocks.append(
            Notice(
                f"{count(each.rows, f'{each.later} row')} of {len(parts[each.later]):,} "
                f"{'has' if each.rows == 1 else 'have'} the text of a {each.earlier} row{but}. Figures on them are "
                f"optimistic. {examples}.",
                f"Leak from {each.earlier} to {each.later}",
            )
        )
    if "training" in parts:
        blocks += _repeats(parts["training"])
    if not twins and len(parts) > 1:
        blocks.append(Paragraph(f"No text stands in two of the parts {', '.join(parts)}; case, blanks and punctuation "
                                "aside."))  # fmt: skip
    return blocks


def _repeats(train: Rows) -> list[Block]:
    targets = [" · ".join(short(str(column[place]), 40) for column in train.truth) for place in range(len(train))]
    found = repeats_of(train.bodies, targets)
    if not found.rows:
        return [Paragraph("No training text stands twice.")]
    said = f"{count(found.rows, 'training row')} {'repeats' if found.rows == 1 else 'repeat'} an earlier one's text."
    blocks: list[Block] = [Paragraph(said)]
    if found.disagreeing:
        lines = [f"“{shown(body, 120)}”: {' or '.join(targets)}" for body, targets in found.examples]
        blocks.append(
            Listing(lines, f"{count(found.disagreeing, 'training text')} with more than one answer, for example")
        )
    return blocks
