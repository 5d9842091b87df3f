"""Which rows are for training, for selecting, and for reporting."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from predgen.errors import DataError, PredgenWarning


class Split(NamedTuple):
    """Row positions, ascending, no row in two parts."""

    train: list[int]
    dev: list[int]
    test: list[int]


def sample_rows(count: int, max_rows: int | None, seed: int) -> list[int]:
    """A seeded sample of row positions, ascending; all of them where no maximum is given, or fewer are there."""
    if max_rows is None or max_rows >= count:
        return list(range(count))
    return sorted(np.random.default_rng(seed).permutation(count)[:max_rows].tolist())


def split_rows(
    classes: Sequence[str] | None,
    count: int,
    train_size: float | None,
    dev_size: float,
    test_size: float,
    seed: int,
) -> Split:
    """Splits rows at random, by the seed alone.

    Args:
        classes: Each row's class, to keep the classes' shares alike in all parts; None for numbers.
        count: How many rows.
        train_size: A share (at most 1) or a number of rows; None for all that dev and test leave.
        dev_size: As train_size.
        test_size: As train_size.
        seed: Of the shuffle.

    Raises:
        DataError: If the parts are larger than the whole, or nothing is left to train on.
    """
    dev, test = _rows(dev_size, count), _rows(test_size, count)
    train = count - dev - test if train_size is None else _rows(train_size, count)
    if train < 1 or train + dev + test > count:
        raise DataError(
            f"{count} rows cannot be split into {train} for training, {dev} dev and {test} test.",
            "The parts must fit, and training needs at least one row.",
            "Change data.train_size, data.dev_size or data.test_size (shares up to 1, numbers of rows above).",
        )
    order = np.random.default_rng(seed).permutation(count).tolist()
    if classes is not None:
        order = _interleave(order, classes)
    chosen = order[:dev], order[dev : dev + test], order[dev + test : dev + test + train]
    if classes is not None:
        _warn_of_missing_classes(classes, chosen[2])
    return Split(train=sorted(chosen[2]), dev=sorted(chosen[0]), test=sorted(chosen[1]))


def _rows(size: float, count: int) -> int:
    return round(size * count) if size <= 1 else round(size)


def _interleave(order: Sequence[int], classes: Sequence[str]) -> list[int]:
    """Reorders shuffled rows so that any stretch holds the classes in about their overall shares.

    The j-th of a class's n rows stands at (j + ½) / n of the way; a class of one row stands in the middle of the last
    part, which is the training rows', so that no class is only ever tested.
    """
    totals, seen = Counter(classes), Counter[str]()
    places = []
    for position, row in enumerate(order):
        label = classes[row]
        share = (seen[label] + 0.5) / totals[label] if totals[label] > 2 else 1.0
        seen[label] += 1
        places.append((share, position, row))
    return [row for _, _, row in sorted(places)]


def _warn_of_missing_classes(classes: Sequence[str], train: Sequence[int]) -> None:
    missing = sorted(set(classes) - {classes[row] for row in train})
    if missing:
        named = ", ".join(missing[:20]) + f", … ({len(missing)} in all)" * (len(missing) > 20)
        warnings.warn(f"No training row has the class {named}.", PredgenWarning, stacklevel=3)
