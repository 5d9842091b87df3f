"""What `fit` is given besides X and y, as the fit path takes it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from predgen.estimators.input_errors import InputError

EvalSet = tuple[Any, Any] | Sequence[tuple[Any, Any]]
Rows = list[dict[str, Any]]


def one_pair(eval_set: EvalSet) -> tuple[Any, Any]:
    """(X, y), which may stand in a list, as boosting libraries have it.

    Raises:
        InputError: If it is no pair, or several.
    """
    given = list(eval_set)
    pair = given[0] if len(given) == 1 else given
    if isinstance(pair, str) or not hasattr(pair, "__len__") or len(pair) != 2:
        raise InputError(f"eval_set holds {len(given)} things.", "Expected one pair (X, y), or a list of one pair.")
    return pair[0], pair[1]


def with_column(rows: Rows, name: str, values: Sequence[Any]) -> Rows:
    """Rows with a column more.

    Raises:
        InputError: If there are not as many values.
    """
    if len(rows) != len(values):
        raise InputError(f"X has {len(rows)} rows, and y {len(values)}.", "Expected as many.")
    return [{**row, name: value} for row, value in zip(rows, values, strict=True)]


def free_name(wanted: str, taken: Sequence[str]) -> str:
    """A column name that X does not have."""
    while wanted in taken:
        wanted = f"{wanted}_"
    return wanted


def weights_of(sample_weight: Any, rows: Sequence[Any]) -> list[float]:
    """Sample weights as floats; one number is every row's.

    Raises:
        InputError: If they are no numbers, or of another shape than (N,).
    """
    try:
        weights = np.asarray(sample_weight, dtype=float)
    except (TypeError, ValueError) as problem:
        raise InputError(f"sample_weight holds what is no number: {problem}.") from problem
    if weights.ndim == 0:
        weights = np.full(len(rows), float(weights))
    if weights.ndim != 1:
        raise InputError(f"sample_weight has {weights.ndim} dimensions.", "Sample weights must be 1D array or scalar.")
    check_consistent_length(rows, weights)
    if not weights.any():
        raise InputError("All weights in sample_weight are zero.", "At least one row must count.")
    floats: list[float] = weights.tolist()
    return floats


def seed_of(random_state: Any) -> int:
    """A seed: the number itself, or one drawn from a generator, or from numpy's global one where it is None."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


@contextmanager
def own_chance() -> Iterator[None]:
    """Puts the global generators back as they were: training seeds them, and a caller's own draws must not follow."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
