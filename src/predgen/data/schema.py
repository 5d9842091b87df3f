"""What is read and what is predicted, decided from the rows, each decision with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from predgen.config import RunConfig, Task
from predgen.data.table import Table
from predgen.data.targets import Solution, is_number, label_of, missing, number_of, solution_of
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
        target: The column to predict.
        task: What kind of prediction.
        reasons: One line a decision, to be shown.
        weight: The column that says what each row counts in training, if one does.
        marker: What stands before the number in targets that are worked solutions; None where targets are not.
    """

    template: str
    target: str
    task: Task
    reasons: tuple[str, ...]
    weight: str | None = None
    marker: str | None = None


def decide_schema(table: Table, config: RunConfig) -> Schema:
    """Takes what the settings name, infers the rest, and says why.

    Raises:
        DataError: If a named column is not there, or what is left could be read in more than one way.
    """
    data = config.data
    target, target_reason = _target(table, data.target, data.text)
    if data.template is not None:
        # On a command line a newline in quotes is typed as backslash and n.
        template = data.template.replace("\\n", "\n")
        fields = template_fields(template)
        for name in fields:
            _known(table, name, "--template")
        text_reason = f"Text: the template over {', '.join(fields)}."
    else:
        name, text_reason = _text(table, data.text, target)
        template, fields = "{" + name + "}", [name]
    if target in fields:
        raise DataError(f"The target {target!r} is also part of the text.", "It would be given away in the prompt.")
    values = [row.get(target) for row in table.good_rows]
    marker = config.space.marker if _are_solutions(values, config) else None
    task, task_reason = _solutions_task(config) if marker is not None else _task(values, config)
    if data.weight is not None:
        _known(table, data.weight, "--weight")
        if data.weight in (target, *fields):
            raise DataError(f"The weight {data.weight!r} is also the target, or part of the text.")
    return Schema(template, target, task, (text_reason, target_reason, task_reason), data.weight, marker)


def read_targets(
    rows: Sequence[Mapping[str, Any]], target: str, task: Task, marker: str | None = None
) -> list[str] | list[float]:
    """Each row's target: a label as text, or a finite number.

    Args:
        rows: N rows.
        target: The column.
        task: Labels or numbers.
        marker: Behind which a worked solution says its number; a plain number will do as well.

    Raises:
        DataError: If targets are missing, or not finite numbers where numbers are needed; the message names rows.
    """

    def number(value: Any) -> float | None:
        solution = None if marker is None else solution_of(value, marker)
        return number_of(value) if solution is None else solution.number

    reads = number if task == "regression" else label_of
    read: list[Any] = [None if missing(row.get(target)) else reads(row[target]) for row in rows]
    bad = [number for number, value in enumerate(read) if value is None]
    if bad:
        shown = ", ".join(f"row {number}: {rows[number].get(target)!r}" for number in bad[:5])
        wanted = "a finite number" if task == "regression" else "a label"
        wanted += "" if marker is None else f", behind {marker!r} where a solution is worked out"
        raise DataError(
            f"{len(bad)} of {len(rows)} rows have no usable target in {target!r} ({shown}{', …' * (len(bad) > 5)}).",
            f"Each needs {wanted}.",
            "Mend or remove them.",
        )
    return read


def read_solutions(rows: Sequence[Mapping[str, Any]], target: str, marker: str) -> list[str]:
    """What each row works out before its number; empty where it does not.

    Args:
        rows: N rows, whose targets `read_targets` can read.
        target: The column.
        marker: What stands between the two.
    """
    solutions = [solution_of(row[target], marker) or Solution("", 0.0) for row in rows]
    return [solution.text for solution in solutions]


def read_weights(rows: Sequence[Mapping[str, Any]], column: str) -> list[float]:
    """Each row's weight.

    Raises:
        DataError: If one is missing, negative or no finite number; the message names rows.
    """
    read = [number_of(row.get(column)) for row in rows]
    bad = [number for number, weight in enumerate(read) if weight is None or weight < 0]
    if bad:
        shown = ", ".join(f"row {number}: {rows[number].get(column)!r}" for number in bad[:5])
        raise DataError(
            f"{len(bad)} of {len(rows)} rows have no usable weight in {column!r} ({shown}{', …' * (len(bad) > 5)}).",
            "Each needs a finite number, 0 or above.",
        )
    return [float(weight) for weight in read if weight is not None]


def _known(table: Table, name: str, flag: str) -> str:
    if name not in table.columns:
        raise DataError(f"{table.name} has no column {name!r} ({flag}):", nearest(name, table.columns))
    return name


def _target(table: Table, named: str | None, text: str | None) -> tuple[str, str]:
    if named is not None:
        return _known(table, named, "--target"), f"Target: column {named!r}, as named."
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


def _text(table: Table, named: str | None, target: str) -> tuple[str, str]:
    if named is not None:
        return _known(table, named, "--text"), f"Text: column {named!r}, as named."
    if table.text_column is not None:
        return table.text_column, f"Text: column {table.text_column!r}, this data set's own."
    likely = [name for name in table.columns if name.lower() in TEXT_NAMES and name != target]
    if len(likely) == 1:
        return likely[0], f"Text: column {likely[0]!r}, by its name."
    lengths = {name: _mean_length(table, name) for name in likely or table.columns if name != target}
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


def _are_solutions(values: Sequence[Any], config: RunConfig) -> bool:
    """Whether most targets are texts that end in the marker and a number."""
    if config.task == "classification" or config.space.kind == "grid":
        return False
    present = [value for value in values if not missing(value)]
    return sum(solution_of(value, config.space.marker) is not None for value in present) * 2 > len(present)


def _solutions_task(config: RunConfig) -> tuple[Task, str]:
    return "regression", f"Task: regression, since the target is worked solutions that end in {config.space.marker!r}."


def _task(values: Sequence[Any], config: RunConfig) -> tuple[Task, str]:
    present = [value for value in values if not missing(value)]
    if not present:
        raise DataError("The target column is empty.", "Expected labels or numbers.")
    numeric = [is_number(value) for value in present]
    if config.task != "auto":
        return config.task, f"Task: {config.task}, as named."
    distinct = len({label_of(value) for value in present})
    if not all(numeric):
        if sum(numeric) >= 0.9 * len(numeric):
            odd = next(number for number, value in enumerate(values) if not missing(value) and not is_number(value))
            raise DataError(
                f"The target is a number in {sum(numeric)} rows but not in {len(numeric) - sum(numeric)}, first in "
                f"row {odd}: {values[odd]!r}.",
                remedy="Mend these rows, or say --task classification.",
            )
        if distinct > 200 or (distinct > 20 and distinct * 2 > len(present)):
            raise DataError(
                f"The target has {distinct} different texts in {len(present)} rows; it does not look like labels.",
                remedy="Name another column with --target, or say --task classification.",
            )
        return "classification", f"Task: classification, since the target is text ({distinct} classes)."
    whole = all(float(value) == int(float(value)) for value in present)
    if whole and distinct <= MOST_CLASSES_OF_INTEGERS:
        return "classification", (
            f"Task: classification, since the target has only {distinct} different integers (else: --task regression)."
        )
    kind = "integers" if whole else "numbers with decimals"
    return "regression", f"Task: regression, since the target holds {distinct} different {kind}."
