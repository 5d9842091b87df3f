"""Columns of rows → targets, weights and solutions; what cannot be read is refused with its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from predgen.config import Task
from predgen.data.targets import Solution, label_of, labels_of, missing, number_of, solution_of
from predgen.errors import DataError, nearest

YES, NO = "yes", "no"  # how a row's slot for one of several labels is answered


@dataclass(frozen=True)
class TargetField:
    """One thing to predict of each row.

    Args:
        name: What prompts, settings and predictions call it.
        column: Where it is found.
        task: What kind of prediction.
        marker: What stands before the number in targets that are worked solutions; None where targets are not.
        label: Multi-label: the label that the column's list has or has not; the target is then `YES` or `NO`.
        separator: Multi-label: what stands between labels in a text; None where the column holds lists.
        names: What the column says and the label that is written instead, in pairs; none where it is written as it is.
    """

    name: str
    column: str
    task: Task
    marker: str | None = None
    label: str | None = None
    separator: str | None = None
    names: tuple[tuple[str, str], ...] = ()


def read_fields(rows: Sequence[Mapping[str, Any]], fields: Sequence[TargetField]) -> list[list[str] | list[float]]:
    """Each field's targets, one a row.

    Args:
        rows: N rows.
        fields: What to read of them.

    Raises:
        DataError: As `read_targets` says.
    """
    held: dict[tuple[str, str | None], list[set[str]]] = {}
    read: list[list[str] | list[float]] = []
    for field in fields:
        if field.label is None:
            read.append(read_targets(rows, field.column, field.task, field.marker, field.names))
            continue
        key = (field.column, field.separator)
        if key not in held:
            held[key] = read_label_sets(rows, *key)
        read.append([YES if field.label in labels else NO for labels in held[key]])
    return read


def read_label_sets(rows: Sequence[Mapping[str, Any]], column: str, separator: str | None) -> list[set[str]]:
    """Which labels each row has; an empty list or text is a row without any.

    Raises:
        DataError: If a row has nothing there, or no list of labels; the message names rows.
    """
    read = [labels_of(row.get(column), separator) for row in rows]
    bad = [number for number, labels in enumerate(read) if labels is None]
    if bad:
        shown = ", ".join(f"row {number}: {rows[number].get(column)!r}" for number in bad[:5])
        raise DataError(
            f"{len(bad)} of {len(rows)} rows have no labels to read in {column!r} ({shown}{', …' * (len(bad) > 5)}).",
            "Each needs a list of texts" + ("." if separator is None else f", or a text with {separator!r} between."),
            "Mend or remove them; name what stands between labels with data.separator.",
        )
    return [set(labels) for labels in read if labels is not None]


def read_targets(
    rows: Sequence[Mapping[str, Any]],
    target: str,
    task: Task,
    marker: str | None = None,
    names: Sequence[tuple[str, str]] = (),
) -> list[str] | list[float]:
    """Each row's target: a label as text, or a finite number.

    Args:
        rows: N rows.
        target: The column.
        task: Labels or numbers.
        marker: Behind which a worked solution says its number; a plain number will do as well.
        names: What the column says and the label that is written instead, in pairs.

    Raises:
        DataError: If targets are missing, not finite numbers where numbers are needed, or not among the names; the
            message names rows.
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
    return _named(read, target, dict(names)) if names else read


def _named(read: list[str], target: str, names: dict[str, str]) -> list[str]:
    """The labels that stand for what the rows say; rows may say the labels themselves where that is not ambiguous."""
    known = names if set(names) & set(names.values()) else {**{label: label for label in names.values()}, **names}
    bad = [(number, value) for number, value in enumerate(read) if value not in known]
    if bad:
        number, value = bad[0]
        raise DataError(
            f"{len(bad)} of {len(read)} rows say in {target!r} what data.label_names does not name, "
            f"first row {number}: {value!r}.",
            nearest(value, known),
            "Mend the rows, or name it in data.label_names.",
        )
    return [known[value] for value in read]


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
