"""What is gained by leaving out the rows that the run is least sure of."""

from __future__ import annotations

import numpy as np

from predgen.report.answered import Answered, AnsweredLabels, AnsweredNumbers
from predgen.report.blocks import Figure, Figures, Notice, Paragraph, Section, Table
from predgen.report.bootstrap import Interval, row_interval
from predgen.report.charts.lines import Line, line_chart
from predgen.report.field import FEW, Field
from predgen.report.text import between, fixed, number, percent
from predgen.report.types import Floats

_SHARES = tuple(step / 20 for step in range(2, 21))  # of the rows that are answered
_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def confidence_section(field: Field, resamples: int, seed: int) -> Section:
    """The measure on the surest rows, of any share; and what thresholds come to."""
    title = "Confidence and abstaining"
    answers = field.answers
    confidence = answers.confidence
    if confidence is None:
        why = "The run gives a number and no distribution: it does not say of which rows it is sure."
        return Section(title, [Notice(why, "Not shown")])
    good = answers.of_rows(answers.predicted)
    order = np.argsort(-confidence, kind="stable")
    kept, found = [], list[Interval]()
    for share in _SHARES:
        rows = round(share * len(order))
        if rows >= min(FEW, len(order)) // 2 and rows:
            kept.append(rows / len(order))
            found.append(row_interval(good[order[:rows]], answers.is_share, resamples, seed))
    half = int(np.argmin(np.abs(np.array(kept) - 0.5)))
    said = (
        f"On the surest {percent(kept[half])} of the rows, the {answers.measure} is {fixed(found[half].value)} "
        f"({between(found[half].low, found[half].high)}), on all {fixed(found[-1].value)}."
    )
    line = Line(answers.measure, kept, [each.value for each in found], [each.low for each in found],
                [each.high for each in found])  # fmt: skip
    svg = line_chart([line], ("share of the rows that are answered", answers.measure), title, said, (0, 1.02),
                     level=found[-1].value)  # fmt: skip
    rows_ = [(percent(share), fixed(each.value), between(each.low, each.high))
             for share, each in zip(kept, found, strict=True)]  # fmt: skip
    table = Table(title, ("answered", answers.measure, "95% interval"), rows_, words=0, folded=True)
    figure = Figure("The surest rows alone", svg, note="From right to left, the least sure rows are left out. Shaded: "
                    "95% interval; dashed: all rows.", table=table)  # fmt: skip
    beside = _thresholds(answers, confidence, good, resamples, seed)
    return Section(title, [Paragraph(said + _sorted_by(answers)), Figures([figure, beside])])


def _sorted_by(answers: Answered) -> str:
    if isinstance(answers, AnsweredLabels):
        return " Rows are sorted by the probability of the chosen label."
    return " Rows are sorted by the posterior's standard deviation."


def _thresholds(answers: Answered, confidence: Floats, good: Floats, resamples: int, seed: int) -> Table:
    rows = []
    if isinstance(answers, AnsweredLabels):
        limits = [(threshold, f"{threshold:g}") for threshold in _THRESHOLDS]
        caption, first = "What --abstain-below comes to", "abstain below"
    else:
        assert isinstance(answers, AnsweredNumbers)
        limits = [(float(np.quantile(confidence, 1 - share)), "") for share in (1.0, 0.9, 0.75, 0.5, 0.25)]
        limits = [(limit, number(-limit)) for limit, _ in limits]
        caption, first = "Where the posterior's standard deviation is small", "at most"
    for limit, name in limits:
        kept = confidence >= limit
        if kept.any():
            found = row_interval(good[kept], answers.is_share, resamples, seed)
            rows.append((name, percent(float(kept.mean()), 1), fixed(found.value), between(found.low, found.high)))
        else:
            rows.append((name, percent(0), "–", "–"))
    return Table(caption, (first, "answered", answers.measure, "95% interval"), rows, words=0)
