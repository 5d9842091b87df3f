"""Where predictions and targets part: a confusion matrix, or predicted against true and residuals."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np

from predgen.report.answered import AnsweredLabels, AnsweredNumbers
from predgen.report.blocks import Block, Figure, Figures, Key, Notice, Paragraph, Section, Table
from predgen.report.charts.matrix import confusion_chart
from predgen.report.charts.points import scatter_chart
from predgen.report.field import Field
from predgen.report.text import count, fixed, percent, short

MOST_LABELS = 16  # of a confusion matrix
MOST_POINTS = 1500


def mistakes_section(field: Field, seed: int) -> Section:
    """As the answers ask."""
    if isinstance(field.answers, AnsweredLabels):
        return Section("Which labels are mixed up", _confusions(field.answers))
    assert isinstance(field.answers, AnsweredNumbers)
    return Section("Predicted against true", _residuals(field.answers, seed))


def _confusions(answers: AnsweredLabels) -> list[Block]:
    labels, size = list(answers.space.labels), len(answers.space.labels)
    counts = np.zeros((size, size), dtype=np.int64)
    np.add.at(counts, (answers.gold, answers.chosen), 1)
    blocks: list[Block] = []
    kept = np.arange(size)
    if size > MOST_LABELS:
        # Those with most mistakes are what the picture is for.
        wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
        kept = np.sort(np.argsort(-wrong, kind="stable")[:MOST_LABELS])
        blocks.append(Notice(f"The {MOST_LABELS} labels with most mistakes, of {size}; mistakes with others are in the "
                             "table alone.", "Not all labels"))  # fmt: skip
    mixed = Counter(
        {(row, column): int(counts[row, column]) for row, column in np.argwhere(counts) if row != column}
    ).most_common(12)
    right = int(counts.trace())
    said = f"{right} of {len(answers)} rows are right."
    if mixed:
        (row, column), number = mixed[0]
        said += f" Most common mistake: {short(labels[row])} taken for {short(labels[column])}, {count(number, 'row')}."
    of_label = counts.sum(axis=1)
    table = Table(
        "Most common mistakes", ("true", "predicted", "rows", "of the true label's"),
        [(short(labels[row], 40), short(labels[column], 40), f"{number:,}", percent(number / of_label[row]))
         for (row, column), number in mixed],
        words=2,
    )  # fmt: skip
    title = "Confusion matrix"
    svg = confusion_chart([labels[place] for place in kept], counts[np.ix_(kept, kept)], title, said)
    figure = Figure(title, svg, note="Rows are true labels, columns predicted ones; shaded by the share of the true "
                    "label's rows.")  # fmt: skip
    return [*blocks, Paragraph(said), Figures([figure, *([table] if mixed else [])])]


def _residuals(answers: AnsweredNumbers, seed: int) -> list[Block]:
    rows, blocks = np.arange(len(answers)), list[Block]()
    if len(rows) > MOST_POINTS:
        rows = np.sort(np.random.default_rng(seed).permutation(len(rows))[:MOST_POINTS])
        blocks.append(Paragraph(f"A seeded sample of {MOST_POINTS:,} of {len(answers):,} rows is drawn."))
    true, said = answers.wanted[rows].tolist(), answers.values[rows].tolist()
    residuals = answers.values - answers.wanted
    spread = f"Half of the residuals lie between {_quantile(residuals, 0.25)} and {_quantile(residuals, 0.75)}"
    mean = f"; their mean is {fixed(float(residuals.mean()))} (above zero, the run says too much on the whole)."
    one = "Predicted against true"
    wide = f"{count(len(rows), 'row')}; on the line, prediction and target are one."
    figures = [
        Figure(one, scatter_chart(true, said, ("true", "predicted"), one, wide, square=True,
                                  ends=(answers.low[rows].tolist(), answers.high[rows].tolist())),
               [Key("s1", "prediction"), Key("span", "90% interval")], wide),
        Figure("Residuals", scatter_chart(true, residuals[rows].tolist(), ("true", "predicted − true"), "Residuals",
                                          spread + ".", running_mean=True),
               [Key("s1", "row"), Key("s2", "mean of neighbours")],
               "A line that falls from left to right: predictions keep too near to the middle."),
    ]  # fmt: skip
    edges = np.unique(np.quantile(answers.wanted, np.linspace(0, 1, 6)))
    table = []
    for low, high in pairwise(edges):
        last = high == edges[-1]
        inside = (answers.wanted >= low) & ((answers.wanted <= high) if last else (answers.wanted < high))
        if inside.any():
            part = residuals[inside]
            table.append((f"{fixed(low, 2)} to {fixed(high, 2)}", f"{inside.sum():,}", fixed(float(part.mean())),
                          fixed(float(np.abs(part).mean()))))  # fmt: skip
    by_target = Table(
        "Residuals by target", ("true", "rows", "mean residual", "mean absolute error"), table, folded=True
    )
    return [*blocks, Paragraph(spread + mean), Figures(figures), by_target]


def _quantile(values: np.ndarray[tuple[int], np.dtype[np.float64]], level: float) -> str:
    return fixed(float(np.quantile(values, level)), 2)
