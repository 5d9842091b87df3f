"""What several answers come to, taken together."""

from __future__ import annotations

import numpy as np

from predgen.evaluation import RecordEvaluation
from predgen.metrics import METRICS
from predgen.report.blocks import Block, Figure, Listing, Paragraph, Section, Table
from predgen.report.bootstrap import Interval, Resampled
from predgen.report.charts.whiskers import Whisker, whisker_chart
from predgen.report.field import Field
from predgen.report.material import Material
from predgen.report.text import between, count, fixed, short

RESAMPLES = 200  # of the metric over all answers, at most: it is a slow one


def whole_metric(material: Material) -> Interval:
    """The metric that selected the run, over all answers, with its interval."""
    run, judged = material.run, material.judged
    metric = run.metric_over(judged.scores, judged.rows.truth, run.metric)
    resamples = min(material.resamples, RESAMPLES)
    resampled = Resampled({"": lambda rows: {run.metric: metric(rows)}}, len(judged.rows), resamples, material.seed)
    return resampled.interval("", run.metric)


def said_of_whole(metric: str, whole: Interval, rows: int) -> str:
    """The metric in a sentence."""
    name, _, meaning = (METRICS[metric].title if metric in METRICS else metric).partition(":")
    called = f"{name} ({meaning.strip()})" if meaning else name
    ends = between(whole.low, whole.high)
    return f"On {count(rows, 'row')}, the {called} is {fixed(whole.value)} (95% interval {ends})."


def together_section(material: Material, evaluation: RecordEvaluation, fields: list[Field], whole: Interval) -> Section:
    """The metric over all of them, and each one's own."""
    blocks: list[Block] = [Paragraph(said_of_whole(evaluation.metric, whole, evaluation.rows))]
    if evaluation.decisions:
        names = list(next(iter(evaluation.decisions.values())))
        rows = [(name + (" (default)" if name == evaluation.decision else ""), *(fixed(values.get(n)) for n in names))
                for name, values in evaluation.decisions.items()]  # fmt: skip
        strong = [place for place, name in enumerate(evaluation.decisions) if name == evaluation.decision]
        rows += [
            (f"constant: {name}", *(fixed(values.get(n)) for n in names))
            for name, values in evaluation.baseline.items()
        ]
        blocks.append(
            Table(
                "All labels together",
                ("", *(METRICS[name].title if name in METRICS else name for name in names)),
                rows,
                strong=strong,
            )
        )
    whiskers, table = [], []
    for field in fields:
        own = field.resampled.interval(field.run, field.metric)
        constant = field.resampled.interval(field.best_constant, field.metric).value
        table.append((short(field.answers.name, 40), METRICS[field.metric].title, fixed(own.value),
                      between(own.low, own.high), fixed(constant)))  # fmt: skip
        if all(each.answers.is_share for each in fields):
            whiskers.append(Whisker(short(field.answers.name, 40), *own))
    columns = ("answer", "metric", "this run", "95% interval", "best constant")
    by_field = Table("Each answer by itself", columns, table, words=2)
    if whiskers and np.isfinite([each.value for each in whiskers]).all():
        label = METRICS[fields[0].metric].title
        said = "; ".join(f"{each.name} {fixed(each.value)}" for each in whiskers[:40])
        svg = whisker_chart(whiskers[:40], label, "Each answer by itself", said)
        blocks.append(Figure("Each answer by itself", svg, note="Dots with their 95% intervals."))
    note = f"The first interval is of {min(material.resamples, RESAMPLES):,} resamples of the rows."
    return Section("All answers together", [*blocks, by_field, Listing([note])])
