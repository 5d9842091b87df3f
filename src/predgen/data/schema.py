"""What is read and what is predicted, decided from the rows, each decision with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from predgen.config import AnswerKind, FieldConfig, RunConfig, Task, TaskSetting
from predgen.data.columns import TargetField, read_label_sets
from predgen.data.table import Table
from predgen.data.targets import is_list, is_number, label_of, missing, solution_of
from predgen.data.templates import template_fields
from predgen.errors import DataError, nearest

TEXT_NAMES = ("text", "sentence", "review", "tweet", "content", "comment", "message", "body", "document", "question")
TARGET_NAMES = ("label", "target", "score", "rating", "class", "y", "category", "sentiment", "stars", "value", "gold")
MOST_CLASSES_OF_INTEGERS = 10


@dataclass(frozen=True)
class Schema:
    """How rows are read.

    Args:
        template: Makes the prompt's body of a row.
        kind: One answer a row, a record of several, or any number of labels.
        fields: What to predict; one, or the record's fields, or the labels.
        reasons: One line a decision, to be shown.
        weight: The column that says what each row counts in training, if one does.
        options: The columns that hold each row's own options, where it is answered by one of them.
    """

    template: str
    kind: AnswerKind
    fields: tuple[TargetField, ...]
    reasons: tuple[str, ...]
    weight: str | None = None
    options: tuple[str, ...] = ()


def decide_schema(table: Table, config: RunConfig) -> Schema:
    """Takes what the settings name, infers the rest, and says why.

    Raises:
        DataError: If a named column is not there, or what is left could be read in more than one way.
    """
    data = config.data
    targets, target_reason = _targets(table, data.target, data.text)
    if data.template is not None:
        # On a command line a newline in quotes is typed as backslash and n.
        template = data.template.replace("\\n", "\n")
        columns = template_fields(template)
        for name in columns:
            _known(table, name, "--template")
        text_reason = f"Text: the template over {', '.join(columns)}."
    else:
        name, text_reason = _text(table, data.text, targets)
        template, columns = "{" + name + "}", [name]
    for target in targets:
        if target in columns:
            raise DataError(f"The target {target!r} is also part of the text.", "It would be given away in the prompt.")
    kind, fields, task_reasons = _fields(table, targets, config)
    if data.weight is not None:
        _known(table, data.weight, "--weight")
        if data.weight in (*targets, *columns):
            raise DataError(f"The weight {data.weight!r} is also the target, or part of the text.")
    options = option_columns(data.options, config.space.style)
    for name in options:
        _known(table, name, "data.options")
    return Schema(template, kind, fields, (text_reason, target_reason, *task_reasons), data.weight, options)


def option_columns(named: str | Sequence[str] | None, style: str) -> tuple[str, ...]:
    """The columns whose options rows are answered by; none where they are answered by labels.

    Raises:
        DataError: If options are to be answered by, and no column is named.
    """
    if style == "labels":
        return ()
    if not named:
        raise DataError(
            f"space.style={style} needs each row's own options.", remedy="Name their columns with data.options."
        )
    return (named,) if isinstance(named, str) else tuple(named)


def _known(table: Table, name: str, flag: str) -> str:
    if name not in table.columns:
        raise DataError(f"{table.name} has no column {name!r} ({flag}):", nearest(name, table.columns))
    return name


def _targets(table: Table, named: str | tuple[str, ...] | None, text: str | None) -> tuple[tuple[str, ...], str]:
    """The target columns, and the reason."""
    names = (named,) if isinstance(named, str) else named or ()
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"The target {twice[0]!r} is named twice.")
    for name in names:
        _known(table, name, "--target")
    if len(names) > 1:
        return names, f"Targets: columns {', '.join(map(repr, names))}, as named."
    if names:
        return names, f"Target: column {names[0]!r}, as named."
    name, reason = _target(table, text)
    return (name,), reason


def _target(table: Table, text: str | None) -> tuple[str, str]:
    if table.target_column is not None:
        return table.target_column, f"Target: column {table.target_column!r}, this data set's own."
    likely = [name for name in table.columns if name.lower() in TARGET_NAMES and name != text]
    if len(likely) == 1:
        return likely[0], f"Target: column {likely[0]!r}, by its name."
    others = [name for name in table.columns if name != text and name.lower() not in TEXT_NAMES]
    if not likely and len(others) == 1:
        return others[0], f"Target: column {others[0]!r}, the only one besides the text."
    raise DataError(
        f"The target column is not clear: {', '.join(likely or table.columns)}.", remedy="Name it with --target."
    )


def _text(table: Table, named: str | None, targets: Sequence[str]) -> tuple[str, str]:
    if named is not None:
        return _known(table, named, "--text"), f"Text: column {named!r}, as named."
    if table.text_column is not None:
        return table.text_column, f"Text: column {table.text_column!r}, this data set's own."
    likely = [name for name in table.columns if name.lower() in TEXT_NAMES and name not in targets]
    if len(likely) == 1:
        return likely[0], f"Text: column {likely[0]!r}, by its name."
    lengths = {name: _mean_length(table, name) for name in likely or table.columns if name not in targets}
    ranked = sorted(lengths, key=lambda name: lengths[name], reverse=True)
    if len(ranked) == 1:
        return ranked[0], f"Text: column {ranked[0]!r}, the only one besides the target."
    # "Clearly longer": three times the next one's mean length, and more than a word or two.
    if ranked and lengths[ranked[0]] >= 3 * lengths[ranked[1]] and lengths[ranked[0]] >= 15:
        name = ranked[0]
        return name, f"Text: column {name!r}, by far the longest ({lengths[name]:.0f} characters on average)."
    raise DataError(
        f"The text column is not clear: {', '.join(ranked) or 'there is none besides the target'}.",
        remedy='Name it with --text, or several with --template "{a} … {b}".',
    )


def _mean_length(table: Table, name: str) -> float:
    values = [row.get(name) for row in table.good_rows]
    texts = [value for value in values if isinstance(value, str) and not is_number(value)]
    # Numbers and flags are not what a prompt is made of.
    return sum(map(len, texts)) / len(texts) if len(texts) * 2 > len(values) else 0.0


def _fields(
    table: Table, targets: Sequence[str], config: RunConfig
) -> tuple[AnswerKind, tuple[TargetField, ...], list[str]]:
    unknown = sorted(set(config.fields) - set(targets if len(targets) > 1 else ()))
    if unknown:
        raise DataError(
            f"fields.{unknown[0]} is set, and is no field of this run:",
            nearest(unknown[0], targets),
            "A record has as fields the targets that are named, two or more.",
        )
    if len(targets) > 1:
        if config.data.label_names:
            raise DataError("data.label_names is set, and there are several targets.", "It is for a single one.")
        return ("record", *_record_fields(table, targets, config))
    column = targets[0]
    values = [row.get(column) for row in table.good_rows]
    listed, separated = any(map(is_list, values)), config.data.separator is not None
    if config.task == "multilabel" or (config.task == "auto" and (listed or separated)):
        reason = "since the target holds lists" if listed else "since data.separator is set"
        why = "as named" if config.task == "multilabel" else reason
        return "multilabel", _label_fields(table, column, config), [f"Task: multi-label, {why}."]
    if config.task == "record":
        raise DataError("task=record was asked for, with one target.", remedy="Name several with --target.")
    if _are_solutions(values, config):
        marker = config.space.marker
        reason = f"Task: regression, since the target is worked solutions that end in {marker!r}."
        return "single", (TargetField(column, column, "regression", marker),), [reason]
    task, reason = _task(values, config.task, "--task")
    names = tuple((config.data.label_names or {}).items()) if task == "classification" else ()
    return "single", (TargetField(column, column, task, names=names),), [reason]


def _record_fields(
    table: Table, targets: Sequence[str], config: RunConfig
) -> tuple[tuple[TargetField, ...], list[str]]:
    fields, reasons = [], []
    for name in targets:
        values = [row.get(name) for row in table.good_rows]
        if any(map(is_list, values)):
            raise DataError(f"The target {name!r} holds lists.", "A record's fields hold one label or number each.")
        task, reason = _task(values, config.fields.get(name, FieldConfig()).task, f"fields.{name}.task")
        fields.append(TargetField(name, name, task))
        reasons.append(f"{name!r}: {reason[0].lower()}{reason[1:]}")
    return tuple(fields), reasons


def _label_fields(table: Table, column: str, config: RunConfig) -> tuple[TargetField, ...]:
    """A slot a label; those that `space.labels` names, else all that occur."""
    separator = config.data.separator
    found = sorted(set[str]().union(*read_label_sets(table.good_rows, column, separator)))
    labels = config.space.labels if config.space.labels is not None else tuple(found)
    if not labels:
        raise DataError(f"No row has a label in {column!r}.", "Multi-label needs at least one.")
    strange = sorted(set(found) - set(labels))
    if strange:
        raise DataError(
            f"The rows have {len(strange)} labels that space.labels lacks, such as {strange[0]!r}:",
            nearest(strange[0], labels),
        )
    return tuple(TargetField(label, column, "classification", None, label, separator) for label in labels)


def _are_solutions(values: Sequence[Any], config: RunConfig) -> bool:
    """Whether most targets are texts that end in the marker and a number."""
    if config.task == "classification" or config.space.kind == "grid":
        return False
    present = [value for value in values if not missing(value)]
    return sum(solution_of(value, config.space.marker) is not None for value in present) * 2 > len(present)


def _task(values: Sequence[Any], named: TaskSetting, flag: str) -> tuple[Task, str]:
    present = [value for value in values if not missing(value)]
    if not present:
        raise DataError("The target column is empty.", "Expected labels or numbers.")
    numeric = [is_number(value) for value in present]
    if named in ("classification", "regression"):
        return named, f"Task: {named}, as named."
    distinct = len({label_of(value) for value in present})
    if not all(numeric):
        if sum(numeric) >= 0.9 * len(numeric):
            odd = next(number for number, value in enumerate(values) if not missing(value) and not is_number(value))
            raise DataError(
                f"The target is a number in {sum(numeric)} rows but not in {len(numeric) - sum(numeric)}, first in "
                f"row {odd}: {values[odd]!r}.",
                remedy=f"Mend these rows, or say {flag} classification.",
            )
        if distinct > 200 or (distinct > 20 and distinct * 2 > len(present)):
            raise DataError(
                f"The target has {distinct} different texts in {len(present)} rows; it does not look like labels.",
                remedy=f"Name another column with --target, or say {flag} classification.",
            )
        return "classification", f"Task: classification, since the target is text ({distinct} classes)."
    whole = all(float(value) == int(float(value)) for value in present)
    if whole and distinct <= MOST_CLASSES_OF_INTEGERS:
        return "classification", (
            f"Task: classification, since the target has only {distinct} different integers (else: {flag} regression)."
        )
    kind = "integers" if whole else "numbers with decimals"
    return "regression", f"Task: regression, since the target holds {distinct} different {kind}."
