"""Answer spaces: value ↔ text, without torch.

Every task has a space, and nothing outside it can ever be predicted. A closed space (`LabelSet`, `NumberGrid`,
`LogGrid`) lists its answers in a fixed order; elsewhere an answer is known by its index in that order. `FreeNumber` has
no list.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from predgen.answers.free_number import FreeNumber as FreeNumber
from predgen.answers.log_grid import LogGrid as LogGrid
from predgen.answers.places import place_weights
from predgen.errors import AnswerError, nearest


@runtime_checkable
class AnswerSpace(Protocol):
    """What the rest of predgen needs to know of a closed space."""

    @property
    def texts(self) -> Sequence[str]:
        """The written form of each answer, in index order, without a leading space or terminator."""
        ...

    def index(self, value: object) -> int:
        """The answer that stands for a target.

        Raises:
            AnswerError: If the value does not belong to the space.
        """
        ...

    def parse(self, text: str) -> int | None:
        """The answer that a free text spells, or None where the text lies outside the space."""
        ...

    def character_weights(self, index: int) -> list[float]:
        """How much an error in each character of the answer's text should cost, relative to the others.

        Texts that differ in their digits 1 to 9 alone have the same.
        """
        ...

    def to_json(self) -> dict[str, Any]:
        """A JSON form that `space_from_json` reads back."""
        ...


@dataclass(frozen=True)
class LabelSet:
    """A closed set of labels, each written as itself.

    Args:
        labels: The labels, at least two, no two alike once outer blanks are gone.
        ordered: Whether their order means something, as that of grades does.

    Raises:
        AnswerError: If there are fewer than two labels, an empty one, or two alike.
    """

    labels: tuple[str, ...]
    ordered: bool = False

    def __post_init__(self) -> None:
        stripped = [label.strip() for label in self.labels]
        if len(stripped) < 2:
            raise AnswerError(
                f"The targets hold {len(stripped)} class: {stripped}.",
                "Classification needs at least two.",
                "Check the target column, or add rows of another class.",
            )
        if "" in stripped:
            raise AnswerError("One of the labels is empty.", "Every label needs at least one visible character.")
        if len(set(stripped)) < len(stripped):
            alike = sorted({label for label in stripped if stripped.count(label) > 1})
            raise AnswerError(f"These labels stand twice: {alike}.", "Labels must differ in more than outer blanks.")
        object.__setattr__(self, "labels", tuple(stripped))

    @property
    def texts(self) -> Sequence[str]:
        """The labels themselves."""
        return self.labels

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {label: position for position, label in enumerate(self.labels)}

    def index(self, value: object) -> int:
        """The position of a label, outer blanks ignored.

        Raises:
            AnswerError: If the label is not in the set.
        """
        label = str(value).strip()
        if label not in self._positions:
            raise AnswerError(f"The label {label!r} is not in this space:", nearest(label, self.labels))
        return self._positions[label]

    def parse(self, text: str) -> int | None:
        """The label that a text spells exactly, outer blanks aside; None otherwise."""
        return self._positions.get(text.strip())

    def character_weights(self, index: int) -> list[float]:
        """Labels have no more and less costly characters: all ones."""
        return [1.0] * len(self.labels[index])

    def to_json(self) -> dict[str, Any]:
        """``{"kind": "labels", "labels": [...], "ordered": …}``."""
        return {"kind": "labels", "labels": list(self.labels), "ordered": self.ordered}

    def __str__(self) -> str:
        return f"{len(self.labels)} labels{' in order' if self.ordered else ''}: {', '.join(self.labels)}"


@dataclass(frozen=True)
class NumberGrid:
    """Evenly spaced decimal numbers from `low` to `high`, both included, written in fixed point.

    The i-th answer is ``low + i · 10^-decimals``. Where the grid holds a negative number, every answer carries its
    sign (``+0.3``, ``-1.0``, and ``+0.0`` for zero), so that the first token already says which side of zero it is;
    otherwise none does. Example: ``NumberGrid(-4, 4, 1)`` has 81 answers, ``-4.0`` to ``+4.0``.

    Args:
        low: Smallest number; a multiple of the step.
        high: Largest number; a multiple of the step, above `low`.
        decimals: Digits after the point, 0 to 9. With 0 no point is written.

    Raises:
        AnswerError: If the bounds are not finite, not in order, or not on the grid, or it has more than 10^6 points.
    """

    low: float
    high: float
    decimals: int

    def __post_init__(self) -> None:
        if not 0 <= self.decimals <= 9:
            raise AnswerError(f"A number grid was asked for with {self.decimals} decimals.", "0 to 9 are possible.")
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise AnswerError(f"A number grid needs finite bounds; found {self.low} to {self.high}.")
        for bound in (self.low, self.high):
            steps = bound * self._scale
            if abs(steps - round(steps)) > 1e-6 + 1e-14 * abs(steps):  # a float cannot be nearer
                raise AnswerError(
                    f"The bound {bound} does not lie on a grid with {self.decimals} decimals.",
                    f"The step is {self.step:g}.",
                    "Change space.low, space.high or space.decimals.",
                )
        if self._first >= self._last:
            raise AnswerError(f"A number grid from {self.low} to {self.high} is empty.", "low must be below high.")
        if len(self) > 1_000_000:
            raise AnswerError(
                f"A number grid from {self.low} to {self.high} in steps of {self.step:g} has {len(self):,} points.",
                "At most 1,000,000 are possible.",
                "Lower space.decimals, or divide the targets by a power of ten.",
            )

    # Numbers are counted as whole steps: in floats 0.1 + 0.2 would miss the grid.
    @property
    def _scale(self) -> int:
        return int(10**self.decimals)

    @property
    def _first(self) -> int:
        return round(self.low * self._scale)

    @property
    def _last(self) -> int:
        return round(self.high * self._scale)

    @property
    def step(self) -> float:
        """The distance of two neighbours."""
        return 1.0 / self._scale

    def __len__(self) -> int:
        return self._last - self._first + 1

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """The numbers, ascending."""
        return np.asarray(np.arange(self._first, self._last + 1) / self._scale)

    @cached_property
    def values(self) -> tuple[float, ...]:
        """The numbers, ascending."""
        return tuple(self.numbers.tolist())

    def text(self, index: int) -> str:
        """One written number."""
        whole = self._first + index
        sign = "-" if whole < 0 else "+" if self._first < 0 else ""
        # `abs` with an explicit sign, since format() would write minus zero as "-0.0".
        return f"{sign}{abs(whole) / self._scale:.{self.decimals}f}"

    @cached_property
    def texts(self) -> Sequence[str]:
        """The written numbers, ascending by value."""
        return tuple(map(self.text, range(len(self))))

    def index(self, value: object) -> int:
        """The grid point nearest to a number; ties go to the even step, as `round` does.

        Raises:
            AnswerError: If the value is not a finite number, or lies over half a step outside the grid.
        """
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise AnswerError(f"The target {value!r} is not a number.") from None
        if not math.isfinite(number):
            raise AnswerError(f"The target {value!r} is not a finite number.")
        position = round(number * self._scale) - self._first
        if not 0 <= position < len(self):
            raise AnswerError(
                f"The target {number:g} lies outside the grid from {self.low:g} to {self.high:g}.",
                remedy="Widen space.low and space.high.",
            )
        return position

    def parse(self, text: str) -> int | None:
        """The grid point that a text spells exactly as the grid writes it, outer blanks aside; None otherwise."""
        try:
            index = self.index(text)
        except AnswerError:
            return None
        return index if self.text(index) == text.strip() else None

    def character_weights(self, index: int) -> list[float]:
        """As `place_weights` has it."""
        return place_weights(self.text(index))

    def admit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of a head, clipped to the grid's range."""
        clipped: NDArray[np.float64] = np.clip(values, self.low, self.high)
        return clipped

    def to_json(self) -> dict[str, Any]:
        """``{"kind": "numbers", "low": …, "high": …, "decimals": …}``."""
        return {"kind": "numbers", "low": self.low, "high": self.high, "decimals": self.decimals}

    def __str__(self) -> str:
        return f"numbers from {self.low} to {self.high}, {self.decimals} decimals"


Grid = NumberGrid | LogGrid  # numbers that can be listed
Numbers = Grid | FreeNumber
Space = LabelSet | Numbers


def space_from_json(record: Mapping[str, Any]) -> Space:
    """Reads back what `to_json` wrote.

    Raises:
        AnswerError: If the record is of an unknown kind, or a field is missing.
    """
    try:
        if record["kind"] == "labels":
            return LabelSet(tuple(record["labels"]), bool(record["ordered"]))
        if record["kind"] == "numbers":
            return NumberGrid(float(record["low"]), float(record["high"]), int(record["decimals"]))
        if record["kind"] == "log numbers":
            low, high, smallest = (float(record[name]) for name in ("low", "high", "smallest"))
            return LogGrid(low, high, smallest, int(record["digits"]))
        if record["kind"] == "free numbers":
            return FreeNumber(
                int(record["digits"]),
                int(record["decimals"]),
                bool(record["negative"]),
                record["marker"],
                int(record["solution_tokens"]),
            )
    except (KeyError, TypeError, ValueError) as problem:
        raise AnswerError(f"The answer space {dict(record)!r} is incomplete: {problem!r}.") from problem
    raise AnswerError(
        f"The answer space is of an unknown kind, {record['kind']!r}.",
        nearest("", ["labels", "numbers", "log numbers", "free numbers"]),
    )
