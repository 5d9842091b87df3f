"""Rows as they come → predictions in order, in constant memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from predgen.data.table import BadRow
from predgen.errors import DataError, PredgenError
from predgen.prediction import Prediction, RowError

Row = str | Mapping[str, Any]


def predict_in_windows(
    rows: Iterable[Row | BadRow],
    first: int,
    window: int,
    body: Callable[[Row], str],
    predict: Callable[[list[str], list[int]], Sequence[Prediction]],
) -> Iterator[list[Prediction]]:
    """Takes some rows at a time, so that they can be sorted by length together.

    Args:
        rows: What could not be read comes out as an error in its place.
        first: The position of the first row.
        window: So many rows at a time.
        body: A row as the prompt's body; raises where it cannot be read.
        predict: Bodies and their rows' positions → their predictions.

    Yields:
        The predictions of each window, in order, one a row.
    """
    numbered = enumerate(rows, start=first)
    while chunk := list(itertools.islice(numbered, window)):
        bodies: dict[int, str] = {}
        predictions: dict[int, Prediction] = {}
        for number, row in chunk:
            try:
                if isinstance(row, BadRow):
                    raise DataError(row.reason)
                bodies[number] = body(row)
            except PredgenError as problem:
                predictions[number] = RowError(number, str(problem))
        if bodies:
            decided = predict(list(bodies.values()), list(bodies))
            predictions.update({prediction.row: prediction for prediction in decided})
        yield [predictions[number] for number, _ in chunk]
