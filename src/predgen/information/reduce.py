"""Principal components, learned from fitting rows alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Part = tuple[Floats, NDArray[np.bool_]]

_AT_ONCE = 100_000_000  # numbers beyond which components are learned part by part


def principal_components(
    parts: Callable[[], Iterable[Part]], rows: int, fit_rows: Integers, components: int, at_once: int = _AT_ONCE
) -> Floats:
    """PCA of states that come part by part, (N, d) → (N, k).

    Args:
        parts: Yields (rows of the part, d) states and (rows,) bool, whether a row has one; called several times where
            there are too many to be held at once.
        rows: N.
        fit_rows: The components are learned from those of them that have a state; the others are only projected.
        components: At most so many; fewer where there are fewer rows or dimensions.
        at_once: So many numbers are held at once; beyond that PCA is incremental, its components approximate.

    Returns:
        (N, k); 0, the mean, where a row has no state; k is 0 where all states are alike.
    """
    from sklearn.decomposition import PCA, IncrementalPCA

    inside = np.zeros(rows, dtype=bool)
    inside[fit_rows] = True
    first, _ = next(iter(parts()))
    width = first.shape[1]
    if rows * width <= at_once:
        each = list(parts())
        states, there = np.concatenate([part for part, _ in each]), np.concatenate([part for _, part in each])
        fitted = states[there & inside]
        kept = min(components, *fitted.shape)
        if kept < 1 or not fitted.std(axis=0).any():  # no row has it, or it is alike in all
            return np.zeros((rows, 0))
        model = PCA(n_components=kept, random_state=0).fit(fitted)
        return _projected(model.transform(states), there)
    there = np.concatenate([real for _, real in parts()])
    count = int((there & inside).sum())
    if count < 2:
        return np.zeros((rows, 0))
    kept = min(components, count, width)
    model = IncrementalPCA(n_components=kept)
    with np.errstate(invalid="ignore"):  # the share of a variance of nothing, where all states are alike
        for block in _blocks(parts(), inside, max(kept, 10 * width)):
            model.partial_fit(block)
    if not model.var_.any():
        return np.zeros((rows, 0))
    return np.concatenate([_projected(model.transform(states), there) for states, there in parts()])


def _projected(components: Floats, real: NDArray[np.bool_]) -> Floats:
    projected: Floats = np.where(real[:, None], components, 0.0)
    return projected


def _blocks(parts: Iterable[Part], inside: NDArray[np.bool_], size: int) -> Iterator[Floats]:
    """The fitting rows' states, at least `size` together, since components are learned from no fewer rows."""
    waiting, start = list[Floats](), 0
    for states, real in parts:
        waiting.append(states[real & inside[start : start + len(states)]])
        start += len(states)
        # The last block takes what would be too little alone.
        if sum(map(len, waiting)) >= 2 * size:
            whole = np.concatenate(waiting)
            yield whole[:size]
            waiting = [whole[size:]]
    if waiting and sum(map(len, waiting)):
        yield np.concatenate(waiting)
