"""X as scikit-learn's users have it → rows as the fit path takes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from predgen.errors import nearest
from predgen.estimators.input_errors import InputError, InputTypeError

TEXT = "text"  # what the only column is called where X has no columns
_NOTHING = ("NAType", "NaTType")  # pandas' own; comparing the first gives neither true nor false


@dataclass(frozen=True)
class Columns:
    """X, row by row.

    Args:
        names: M column names; one where X is a sequence of texts.
        rows: N rows of M cells each. A missing cell is None.
        named: Whether the names are X's own, and not made up here.
        texts: Whether X is a sequence of texts, which has no columns.
    """

    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    named: bool = False
    texts: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def mappings(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Rows as the columns of a fitted estimator: found by name, or by place where X has no names.

        Args:
            names: The fitted columns.

        Raises:
            InputError: If X has other columns.
        """
        if not self.named or len(self.names) == len(names) == 1:
            if len(names) != len(self.names):
                raise InputError(f"X has {len(self.names)} column(s).", f"It was fitted on {list(names)}.")
            return [dict(zip(names, row, strict=True)) for row in self.rows]
        missing = [name for name in names if name not in self.names]
        if missing:
            raise InputError(f"X has no column {missing[0]!r}:", nearest(missing[0], self.names))
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]


def columns_of(X: Any) -> Columns:
    """Reads X.

    Args:
        X: N texts as a list, an array or a Series; or N rows of M columns as a DataFrame, a 2-D array, a list of lists
            or a list of mappings. Cells are texts, numbers or missing. Columns without names are called x0, x1, ….

    Raises:
        InputTypeError: If X is a sparse matrix, a single text, or cells are neither text nor number.
        InputError: If X is empty, of another number of dimensions, has a column twice, or rows differ in length.
    """
    if hasattr(X, "toarray"):
        raise InputTypeError("X is a sparse matrix.", "Sparse input is not supported: rows are texts, or columns.")
    if isinstance(X, str | bytes | Mapping):
        raise InputTypeError(f"X is one {type(X).__name__}.", "Expected a sequence of rows.", "Put it in a list.")
    if hasattr(X, "columns"):
        _check_names(list(X.columns))
        rows = _by_rows([_listed(X[name]) for name in X.columns])
        # As scikit-learn has it, columns have names where all of these are texts.
        named = all(isinstance(name, str) for name in X.columns)
        read = Columns(tuple(X.columns) if named else _made_up(len(X.columns)), rows, named)
    elif hasattr(X, "column_names"):
        read = Columns(tuple(X.column_names), _by_rows([_listed(X[name]) for name in X.column_names]), named=True)
    elif isinstance(X, list | tuple) and X and isinstance(X[0], Mapping):
        read = _of_mappings(X)
    elif isinstance(X, list | tuple) or hasattr(X, "to_list"):
        read = _of_sequence(_listed(X))
    else:
        read = _of_array(np.asarray(X))
    _check_size(read, X)
    cells = [tuple(_cell(value, number) for value in row) for number, row in enumerate(read.rows)]
    return replace(read, rows=cells)


def _check_names(names: Sequence[Any]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:  # pandas gives a table for such a name, and not a column
        raise InputError(f"X has several columns {twice[0]!r}.", "Each needs a name of its own.")


def _listed(column: Any) -> list[Any]:
    for convert in ("to_list", "tolist"):
        if hasattr(column, convert):
            return list(getattr(column, convert)())
    return list(column)


def _by_rows(columns: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return list(zip(*columns, strict=True))


def _of_mappings(X: Sequence[Any]) -> Columns:
    names: dict[str, None] = {}
    for number, row in enumerate(X):
        if not isinstance(row, Mapping):
            raise InputTypeError(f"Row {number} of X is a {type(row).__name__}.", "The rows before it are mappings.")
        names.update(dict.fromkeys(map(str, row)))
    return Columns(tuple(names), [tuple(row.get(name) for name in names) for row in X], named=True)


def _of_sequence(X: list[Any]) -> Columns:
    if all(isinstance(row, str) or _is_missing(row) for row in X):
        return Columns((TEXT,), [(row,) for row in X], texts=True)
    try:
        return _of_array(np.asarray(X))
    except ValueError as problem:  # numpy's, of ragged rows
        if isinstance(problem, InputError):
            raise
        raise InputError("The rows of X are of different lengths.", "Expected as many columns in each.") from problem


def _of_array(X: np.ndarray[Any, Any]) -> Columns:
    if X.ndim == 1 and all(isinstance(row, str) or _is_missing(row) for row in X.tolist()) and X.dtype.kind in "OUT":
        return Columns((TEXT,), [(row,) for row in X.tolist()], texts=True)
    if X.ndim != 2:
        raise InputError(
            f"X is an array of {X.ndim} dimensions and type {X.dtype}.",
            "Expected a 1-D sequence of texts, or 2-D rows of columns.",
            "Reshape your data with X.reshape(-1, 1) if it has a single column of numbers.",
        )
    rows = X.tolist()
    if X.dtype in (np.float16, np.float32):  # a cell's shortest spelling: float32's 0.1 is not 0.10000000149
        rows = [[float(str(cell)) for cell in row] for row in X]
    return Columns(_made_up(X.shape[1]), [tuple(row) for row in rows])


def _made_up(columns: int) -> tuple[str, ...]:
    """As scikit-learn calls columns without a name."""
    return tuple(f"x{number}" for number in range(columns))


def _check_size(read: Columns, X: Any) -> None:
    if not read.names:
        shape = tuple(getattr(X, "shape", (len(read), 0)))
        raise InputError(f"Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required.")
    if not read.rows:
        raise InputError("X holds 0 rows (n_samples=0).", "Expected at least one.")


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ in _NOTHING or (isinstance(value, float) and value != value)


def _cell(value: Any, row: int) -> Any:
    if _is_missing(value):
        return None
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, complex):
        raise InputError("Complex data not supported.", f"Row {row} of X has {value!r}.")
    if not isinstance(value, str | int | float):
        raise InputTypeError(
            f"Row {row} of X has a {type(value).__name__}.", "An argument must be a string or a number, or missing."
        )
    return value


def template_over(names: Sequence[str]) -> str:
    """The prompt of rows with several columns where no template is given: a line for each, with its name."""
    if len(names) == 1:
        return "{" + names[0] + "}"
    return "\n".join(f"{name}: {{{name}}}" for name in names)
