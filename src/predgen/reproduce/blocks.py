"""What a table shows of one task: our methods, a constant, the paper's cells and published results, line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from predgen.compare import Difference
from predgen.data.tasks import find
from predgen.metrics import METRICS, better
from predgen.reproduce.beside import paper_lines, published_lines
from predgen.reproduce.cell import variant_named
from predgen.reproduce.experiments import Column, Experiment
from predgen.reproduce.lines import Block, Line, Mark, Shown
from predgen.reproduce.methods import METHODS
from predgen.reproduce.published import best_results
from predgen.reproduce.results import CHOSEN, Group, difference, groups_of
from predgen.reproduce.scales import SCALES, find_scale


def blocks_of(experiment: Experiment, records: Sequence[Mapping[str, Any]]) -> list[Block]:
    """The blocks of a table: for each scale and column of which there is a cell, of an ablation a changed one.

    Args:
        experiment: Which table.
        records: All finished cells; those that are none of its are passed over.
    """
    variants = {variant.name for variant in (*experiment.variants, *(experiment.paper_variants or ()))}
    wanted = [record for record in records if record["cell"]["variant"] in variants]
    if experiment.methods is not None:
        # A method's plain cells are in the tables; here they stand where its other variants are too.
        ablated = {record["cell"]["method"] for record in wanted if record["cell"]["variant"]} | {*experiment.methods}
        wanted = [record for record in wanted if record["cell"]["method"] in ablated]
    groups = groups_of(wanted)
    blocks = []
    for scale in SCALES:
        for column in experiment.columns:
            mine = [
                group for group in groups if (group.facts["scale"], group.facts["task"]) == (scale, column.trained_on)
            ]
            if len(experiment.variants) > 1 and not any(group.facts["variant"] for group in mine):
                continue  # a default alone shows nothing of what is changed
            for split in splits_of(column):
                if scored := [group for group in mine if group.has(split)]:
                    blocks.append(_block(experiment, column, scale, split, scored))
    return blocks


def splits_of(column: Column) -> list[str]:
    """The sets of rows that a column is shown on, the one that the table means in front."""
    task = find(column.task)
    others = (
        [] if column.task != column.trained_on else [name for name in task.rows if name not in ("train", task.reported)]
    )
    return [task.source(split) for split in (task.reported, *others)]


def _block(experiment: Experiment, column: Column, scale: str, split: str, groups: Sequence[Group]) -> Block:
    task = find(column.task)
    best = [result for result in best_results() if f"{result.task}/{result.split}" == split]
    metrics = tuple(dict.fromkeys((*column.metrics, *(result.metric for result in best), task.metric)))
    ordered = sorted(groups, key=lambda group: _place(group, experiment))
    first = ordered[0].report(split, ordered[0].seeds[0])
    judged = task.metric if task.metric in metrics else metrics[0]
    marks = {metric: _marks(ordered, split, metric, CHOSEN) for metric in metrics}
    lines = [
        _ours(group, experiment, split, {metric: marks[metric][place] for metric in metrics})
        for place, group in enumerate(ordered)
    ]
    lines += [
        Line(
            "constant",
            f"constant: {name}",
            {key: Shown(value) for key in metrics if (value := values.get(key)) is not None},
        )
        for name, values in first["baseline"].items()
    ]
    if split == task.source(task.reported):
        lines += paper_lines(experiment, column, [group.facts for group in ordered], metrics)
    lines += published_lines(best)
    return Block(
        title=task.title,
        task=column.task,
        split=split.partition("/")[2] or "train",
        scale=scale,
        rows=int(first["rows"]),
        metrics=metrics,
        judged=judged,
        lines=lines,
        by_decision=_by_decision(ordered, experiment, split, judged),
        notes=_notes(column, experiment, scale, split, ordered),
    )


def _place(group: Group, experiment: Experiment) -> tuple[Any, ...]:
    facts = group.facts
    variants = [variant.name for variant in (*experiment.variants, *(experiment.paper_variants or ()))]
    return (
        facts["model"],
        facts["peft"],
        facts["changed"],
        facts["rates"],
        list(METHODS).index(facts["method"]),
        variants.index(facts["variant"]),
    )


def title_of(group: Group, experiment: Experiment) -> str:
    """What a line of a group is called."""
    title = METHODS[group.facts["method"]].title if group.facts["method"] in METHODS else str(group.facts["method"])
    if len(experiment.variants) > 1:
        variant = variant_named(experiment, str(group.facts["variant"]))
        own = not variant.name and group.facts["method"] not in (experiment.methods or ())
        title += f", {'its own default' if own else variant.title}"
    rates = group.facts["rates"]
    tried = [f"rate {', '.join(f'{rate:g}' for rate in rates)}"] if rates else []
    return ", ".join([title, *tried, *group.facts["changed"]])


def comparable(one: Group, other: Group) -> bool:
    """Whether two groups stand in one comparison: the same model and PEFT method, at the same scale."""
    return all(one.facts[name] == other.facts[name] for name in ("model", "peft", "scale"))


def _marks(groups: Sequence[Group], split: str, metric: str, decision: str) -> list[Mark]:
    """Of each group, among those that are comparable to it; none on rows that have selected something."""
    if any(group.report(split, seed)["selected_on"] for group in groups for seed in group.seeds):
        return ["" for _ in groups]
    marks = list[Mark]()
    for group in groups:
        rivals = [other for other in groups if comparable(group, other)]
        means = [rival.summary(split, decision, metric).mean for rival in rivals]
        leader = rivals[best_of(means, metric)]
        if len(rivals) == 1:
            marks.append("")
        elif leader is group:
            marks.append("best")
        else:
            marks.append(mark_of(difference(group, leader, split, decision, metric), metric))
    return marks


def mark_of(gap: Difference | None, metric: str) -> Mark:
    """How a line stands to the best one, by the difference to it; None where that is not known.

    The best is so by the mean over its own seeds. On those that both have, a line may be ahead of it: not behind.
    """
    if gap is None:
        return ""
    level = gap.high >= 0 if METRICS[metric].greater_is_better else gap.low <= 0
    return "noise" if level else "behind"


def best_of(means: Sequence[float], metric: str) -> int:
    """The place of the best value; NaN is never it, unless all are."""
    best = 0
    for place, mean in enumerate(means):
        if better(metric, mean, means[best]):
            best = place
    return best


def _ours(group: Group, experiment: Experiment, split: str, marks: Mapping[str, Mark]) -> Line:
    decisions = dict.fromkeys(group.decision(split, CHOSEN, seed) for seed in group.seeds)
    values = {}
    for metric, mark in marks.items():
        summary = group.summary(split, CHOSEN, metric)
        values[metric] = Shown(summary.mean, summary.spread, mark)
    return Line(
        "ours",
        title_of(group, experiment),
        values,
        str(group.facts["model"]),
        str(group.facts["peft"]),
        ", ".join(decisions),
        len(group.seeds),
    )


def _by_decision(
    groups: Sequence[Group], experiment: Experiment, split: str, metric: str
) -> dict[str, dict[str, Shown]]:
    single = len({(group.facts["model"], group.facts["peft"]) for group in groups}) == 1
    names = [
        title_of(group, experiment) + ("" if single else f" ({group.facts['model']}, {group.facts['peft']})")
        for group in groups
    ]
    table: dict[str, dict[str, Shown]] = {name: {} for name in names}
    for decision in dict.fromkeys(decision for group in groups for decision in group.decisions(split)):
        able = [place for place, group in enumerate(groups) if decision in group.decisions(split)]
        marks = _marks([groups[place] for place in able], split, metric, decision)
        for place, mark in zip(able, marks, strict=True):
            found = groups[place].summary(split, decision, metric)
            table[names[place]][decision] = Shown(found.mean, found.spread, mark)
    return table


def _fewer_rates(groups: Sequence[Group], experiment: Experiment) -> list[str]:
    """Which lines have chosen among fewer learning rates than others, in one note; none where all tried the same."""
    tried = [
        [{each["learning_rate"] for each in record["rates"]} for record in group.records.values()] for group in groups
    ]
    most = set[float]().union(*(rates for seeds in tried for rates in seeds))
    fewer = [
        f"{title_of(group, experiment)} ({', '.join(f'{rate:g}' for rate in sorted(set.intersection(*seeds)))})"
        for group, seeds in zip(groups, tried, strict=True)
        if any(rates != most for rates in seeds)
    ]
    if not fewer:
        return []
    whole = ", ".join(f"{rate:g}" for rate in sorted(most))
    return [f"Learning rates: {whole}. Tuned less, with fewer of them: {'; '.join(fewer)}."]


def _notes(column: Column, experiment: Experiment, scale: str, split: str, groups: Sequence[Group]) -> list[str]:
    task, notes = find(column.task), list[str]()
    first = groups[0].report(split, groups[0].seeds[0])
    selected = sorted({str(record["dev"]["metric"]) for group in groups for record in group.records.values()})
    notes.append(f"Checkpoint, decision and learning rate were chosen on dev by {' or '.join(selected)}.")
    if first["selected_on"]:
        notes.append("Those dev rows are of this split: optimistic, and not judged.")
    official = task.rows.get(split.partition("/")[2])  # type: ignore[call-overload]
    if official is not None and first["rows"] != official:
        notes.append(f"A seeded sample of {first['rows']} of the {official} rows.")
    if not column.in_paper:
        notes.append("The paper's table does not have this set.")
    prints = {group.report(split, seed)["fingerprint"] for group in groups for seed in group.seeds}
    if len(prints) > 1:
        notes.append("Not all cells were scored on the same rows; those are not compared.")
    if any(len(group.digests()) > 1 for group in groups):
        notes.append("Some lines mix cells that were made with different settings.")
    members = [record for group in groups for record in group.records.values()]
    notes += _fewer_rates(groups, experiment)
    repeated = first.get("also_in_train", 0)
    if repeated:
        notes.append(f"{repeated} of these rows have a text that is in the training rows too.")
    said = (note for record in members for note in (*record.get("notes", ()), *record["reports"][split]["notes"]))
    notes += dict.fromkeys(said)
    if scale == "smoke":
        notes.append(f"Scale smoke: {find_scale(scale).title}.")
    return notes
