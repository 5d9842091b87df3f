"""Which words decided one row's answer, as a reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from predgen.data.templates import render, template_fields
from predgen.information.one_answer import one_answer
from predgen.information.token_map import explain
from predgen.information.words import Word
from predgen.run import Run
from predgen.serving.served_run import ServedRun
from predgen.training.run_folder import finite


def explanation(served: ServedRun, row: Mapping[str, Any], field: str | None) -> dict[str, Any]:
    """A map by occlusion, at the cost of some 8 predictions; up to 20 words are each left out alone.

    Args:
        served: The run.
        row: Its columns.
        field: Of several answers the one to explain.

    Raises:
        DataError: If the row cannot be read, or holds fewer than two words.
        ConfigError: If the run's answers cannot be explained.
    """
    (prediction,) = served.answers([served.body(row, 0)], [False])
    # Where there is one label alone, requests cannot name it.
    run = one_answer(served.run, None if isinstance(served.run, Run) else field or next(iter(served.run.parts))).run
    made = explain(run, row)
    column = made.main
    columns = columns_of(served.run.template, row, made.words)
    pieces = [
        {"column": name, "text": word.text, "score": value}
        for name, word, value in zip(columns, made.words, column.values, strict=True)
    ]
    score = {"name": column.name, "unit": column.unit, "signed": column.signed, "scale": column.scale}
    told = {"prediction": prediction, "pieces": pieces, "score": score, "answer": made.answer, "notes": made.notes}
    return {name: finite(value) for name, value in told.items()}


def columns_of(template: str, row: Mapping[str, Any], words: Sequence[Word]) -> list[str | None]:
    """The column that each word begins in; None of the template's own words, and where that cannot be told.

    Args:
        template: With columns in braces.
        row: Columns → values.
        words: In order, from the rendered row's beginning on.
    """
    fields = template_fields(template)
    if template == f"{{{fields[0]}}}":
        return [fields[0] for _ in words]
    body = render(template, row)
    # Each column's place: where the row reads otherwise when another value stands there.
    owners: list[str | None] = [None] * len(body)
    for name in fields:
        for start, stop in _places(template, row, name):
            owners[start:stop] = [name] * (stop - start)
    found: list[str | None] = []
    place = 0
    for word in words:
        shown = word.text.strip()
        at = body.find(shown, place) if shown else -1
        found.append(owners[at] if at >= 0 else None)
        place = at + len(shown) if at >= 0 else place
    return found


_MARK = "\ue000"  # of Unicode's private use; no template holds it


def _places(template: str, row: Mapping[str, Any], name: str) -> list[tuple[int, int]]:
    """Where a column's value stands in the rendered row."""
    value = render(f"{{{name}}}", row) if row.get(name) not in (None, "") else ""
    pieces = render(template, {**row, name: _MARK}).split(_MARK)
    places, at = list[tuple[int, int]](), 0
    for piece in pieces[:-1]:
        at += len(piece)
        places.append((at, at + len(value)))
        at += len(value)
    return places
