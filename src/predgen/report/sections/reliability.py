"""Whether what the run claims comes true: confidences and coverage, before and after calibration."""

from __future__ import annotations

import numpy as np

from predgen.calibration_error import calibration_error
from predgen.decoding.decide import class_decisions
from predgen.evaluation import set_quality
from predgen.reliability import LEVELS, Curve, reliability_curves
from predgen.report.answered import AnsweredLabels
from predgen.report.blocks import Block, Figure, Figures, Key, Notice, Paragraph, Section, Table
from predgen.report.bootstrap import share_interval
from predgen.report.charts.canvas import mark_of
from predgen.report.charts.lines import Line, line_chart
from predgen.report.field import Field
from predgen.report.text import count, fixed, percent
from predgen.report.types import Floats

_BINS = 10


def reliability_section(field: Field) -> Section:
    """Reliability, coverage at nine levels, and of labels the calibration error."""
    answers = field.answers
    curves = reliability_curves(answers.run, answers.raw, answers.scores, answers.truth)
    blocks: list[Block] = []
    if not answers.run.calibration.rows:
        blocks.append(Notice("The run was not calibrated, so that there is no before and after.", "As trained"))
    if isinstance(answers, AnsweredLabels):
        figures: list[Figure | Table] = [_of_confidence(curves, len(answers)), _of_sets(answers)]
        blocks += _errors(answers)
    else:
        figures = _of_levels(curves, len(answers))
        blocks.append(Paragraph(_said_of_levels(curves)))
    return Section("Reliability and coverage", [*blocks, Figures(figures)])


def _of_confidence(curves: list[Curve], rows: int) -> Figure:
    title = "Confidence against accuracy"
    lines = [
        Line(curve.name, curve.expected, curve.observed, dots=True,
             sizes=[2.5 + 7.5 * (number / max(curve.counts)) ** 0.5 for number in curve.counts])
        for curve in curves
    ]  # fmt: skip
    said = "; ".join(
        f"{curve.name}: " + ", ".join(
            f"{percent(claimed)} claimed, {percent(true)} right"
            for claimed, true in zip(curve.expected, curve.observed, strict=True)
        )
        for curve in curves
    )  # fmt: skip
    table = [
        (curve.name, percent(claimed, 1), percent(true, 1), f"{number:,}")
        for curve in curves
        for claimed, true, number in zip(curve.expected, curve.observed, curve.counts, strict=True)
    ]
    svg = line_chart(lines, ("confidence", "share right"), title, said, (0, 1.02), (0, 1.02), diagonal=True)
    note = f"On the dashed line, claims come true. Larger discs: more of the {rows:,} rows."
    numbers = Table(title, ("scores", "confidence", "right", "rows"), table, folded=True)
    return Figure(title, svg, _keys(curves), note, numbers)


def _of_sets(answers: AnsweredLabels) -> Figure:
    conformal = answers.run.conformal[answers.decision]
    held = [set_quality(conformal.sets(answers.probabilities, level), answers.space.labels, answers.truth)
            for level in LEVELS]  # fmt: skip
    coverage = [each["coverage"] for each in held]
    title = "Coverage of sets of labels"
    said = f"Of 90% sets, {percent(coverage[-1], 1)} hold the row's own label."
    svg = line_chart([Line("", list(LEVELS), coverage, dots=True)], ("asked for", "share of rows within"), title, said,
                     (0, 1.02), (0, 1.02), diagonal=True)  # fmt: skip
    rows = [(percent(level), percent(each["coverage"], 1), fixed(each["size"], 2))
            for level, each in zip(LEVELS, held, strict=True)]  # fmt: skip
    note = f"{said} Above the line, sets hold more than was asked for."
    table = Table(title, ("asked for", "held", "labels a set"), rows, words=0, folded=True)
    return Figure(title, svg, note=note, table=table)


def _of_levels(curves: list[Curve], rows: int) -> list[Figure | Table]:
    title = "Coverage of intervals"
    svg = line_chart(
        [Line(curve.name, curve.expected, curve.observed, dots=True) for curve in curves],
        ("asked for", "share of rows within"), title, _said_of_levels(curves), (0, 1.02), (0, 1.02), diagonal=True,
    )  # fmt: skip
    table = [(percent(level), *(percent(curve.observed[place], 1) for curve in curves))
             for place, level in enumerate(LEVELS)]  # fmt: skip
    note = f"On the dashed line, intervals hold what they promise; {count(rows, 'row')}."
    numbers = Table("The same in numbers", ("asked for", *(curve.name for curve in curves)), table, words=0)
    return [Figure(title, svg, _keys(curves), note), numbers]


def _said_of_levels(curves: list[Curve]) -> str:
    held = [f"{curve.name} {percent(curve.observed[-1], 1)}" for curve in curves]
    return f"Of the 90% intervals, so many hold the target: {'; '.join(held)}."


def _keys(curves: list[Curve]) -> list[Key]:
    return [Key(mark_of(place), curve.name) for place, curve in enumerate(curves)] if len(curves) > 1 else []


def _errors(answers: AnsweredLabels) -> list[Block]:
    """Calibration errors, or why there are none; and how far confidence is from accuracy on the whole."""
    bins = min(_BINS, len(answers) // 10)
    before = class_decisions(answers.raw, answers.space, answers.run.reader_name)
    # Mixed by the dev rows, there is nothing to mix before them: the writer alone is what there was.
    name = answers.decision if answers.decision in before else "mode"
    both: list[tuple[str, Floats, Floats]] = []
    for title, chosen, probabilities in (
        (f"{name}, as trained", before[name].chosen, before[name].probabilities),
        (f"{answers.decision}, calibrated", answers.chosen, answers.probabilities),
    ):
        confidence = probabilities[np.arange(len(chosen)), chosen]
        both.append((title, confidence, np.asarray(chosen == answers.gold, dtype=np.float64)))
    if not answers.run.calibration.rows:
        both = both[:1]
    rows = []
    for title, confidence, right in both:
        share = share_interval(right)
        cells = [title, percent(float(confidence.mean()), 1), f"{percent(share.value, 1)}"]
        if bins >= 2:
            found = calibration_error(confidence, right.astype(bool), bins)
            cells += [
                percent(found.plain, 1),
                f"{percent(found.debiased, 1)}\n{percent(found.low, 1)} to {percent(found.high, 1)}",
            ]
        rows.append(tuple(cells))
    columns = ["scores", "mean confidence", "accuracy"]
    if bins >= 2:
        columns += ["calibration error", "without chance's share"]
    blocks: list[Block] = [Table("Confidence on the whole", columns, rows)]
    if bins >= 2:
        blocks.append(Paragraph(
            f"Calibration error: mean gap between confidence and accuracy in {bins} bins of equally many rows. Chance "
            "alone makes some; the last column is without it, with its 95% interval."
        ))  # fmt: skip
    else:
        blocks.append(Notice(f"{count(len(answers), 'row')} are too few for a calibration error.", "Not shown"))
    return blocks
