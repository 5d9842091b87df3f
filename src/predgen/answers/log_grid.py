"""Numbers over many orders of magnitude, with as many significant digits everywhere; without torch."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predgen.errors import AnswerError

MOST_POINTS = 1_000_000
_WRITTEN = re.compile(r"([+-]?)e([+-]?\d+) (\d(?:\.\d+)?)")


@dataclass(frozen=True)
class LogGrid:
    """Numbers ± m · 10^e with a fixed number of significant digits, the exponent written first: ``e3 1.25`` is 1250.

    A model writes from left to right. With the exponent in front it says the order of magnitude first, an error there
    costs the most and is weighed so, and every beginning of an answer stands for one stretch of numbers, which a
    search can bound; with the mantissa in front, ``1.`` would stand for a thousandth and for a million alike. Exponents
    carry a sign where one is negative (``e-2 5.0``), numbers where one is (``-e3 1.25``, ``+e3 1.25``); zero is ``0``,
    or ``+0``.

    Args:
        low: Smallest number: of the grid, or 0, or a negative number of the grid.
        high: Largest number, of the grid and above 0.
        smallest: The smallest magnitude besides 0; that of `low` where `low` is above 0.
        digits: Significant digits, 1 to 6.

    Raises:
        AnswerError: If the bounds are not finite, not in order or not on the grid, or it has more than 10^6 points.
    """

    low: float
    high: float
    smallest: float
    digits: int

    def __post_init__(self) -> None:
        if not 1 <= self.digits <= 6:
            raise AnswerError(f"Numbers of {self.digits} significant digits were asked for.", "1 to 6 are possible.")
        if not all(map(math.isfinite, (self.low, self.high, self.smallest))):
            raise AnswerError(f"A log grid needs finite bounds; found {self.low} to {self.high}.")
        if not (self.low < self.high and 0 < self.smallest <= self.high):
            raise AnswerError(
                f"A log grid from {self.low:g} to {self.high:g} with {self.smallest:g} as its smallest magnitude is "
                "empty.",
                "The largest number must be above 0, above the smallest, and at least the smallest magnitude.",
            )
        if self.low > 0 and self.low != self.smallest:
            raise AnswerError(f"The smallest number is {self.low:g}, and the smallest magnitude {self.smallest:g}.")
        for bound in (self.low, self.high, self.smallest):
            if bound and not math.isclose(self._magnitude(self._code(abs(bound))), abs(bound), rel_tol=1e-9):
                raise AnswerError(
                    f"The bound {bound!r} has more than {self.digits} significant digits.",
                    remedy="Change space.low, space.high or space.digits.",
                )
        if self.low < 0 and -self.low < self.smallest:
            raise AnswerError(f"The smallest number is {self.low:g}, and the smallest magnitude {self.smallest:g}.")
        if len(self) > MOST_POINTS:
            raise AnswerError(
                f"A log grid from {self.low:g} to {self.high:g} with {self.digits} significant digits has "
                f"{len(self):,} points.",
                f"At most {MOST_POINTS:,} are possible.",
                "Lower space.digits.",
            )

    # Magnitudes are counted: all mantissas of one exponent, then those of the next.
    @property
    def _decade(self) -> int:
        return 9 * int(10 ** (self.digits - 1))

    def _code(self, magnitude: float) -> int:
        mantissa, _, exponent = f"{magnitude:.{self.digits - 1}e}".partition("e")
        return int(exponent) * self._decade + int(mantissa.replace(".", "")) - int(10 ** (self.digits - 1))

    def _parts(self, code: int) -> tuple[str, int]:
        exponent, place = divmod(code, self._decade)
        digits = str(place + int(10 ** (self.digits - 1)))
        return digits[0] + ("." + digits[1:] if digits[1:] else ""), exponent

    def _magnitude(self, code: int) -> float:
        mantissa, exponent = self._parts(code)
        return float(f"{mantissa}e{exponent}")

    @cached_property
    def _codes(self) -> tuple[int, int, int]:
        """Of the smallest magnitude, of the most negative number (one less where none is), of the largest."""
        first = self._code(self.smallest)
        return first, self._code(-self.low) if self.low < 0 else first - 1, self._code(self.high)

    @property
    def _below(self) -> int:
        """How many numbers are below zero."""
        first, negative, _ = self._codes
        return negative - first + 1

    @property
    def _zero(self) -> int:
        return int(self.low <= 0)

    def __len__(self) -> int:
        first, _, positive = self._codes
        return self._below + self._zero + positive - first + 1

    def _signed(self, index: int) -> tuple[int, int]:
        """Sign and code of an answer; a sign of 0 for zero."""
        first, negative, _ = self._codes
        if index < self._below:
            return -1, negative - index
        return (0, 0) if self._zero and index == self._below else (1, first + index - self._below - self._zero)

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """The numbers, ascending."""
        signed = map(self._signed, range(len(self)))
        return np.array([sign * self._magnitude(code) if sign else 0.0 for sign, code in signed])

    @property
    def values(self) -> tuple[float, ...]:
        """The numbers, ascending."""
        return tuple(self.numbers.tolist())

    def text(self, index: int) -> str:
        """One written number."""
        sign, code = self._signed(index)
        plus = "+" if self.low < 0 else ""
        if not sign:
            return plus + "0"
        mantissa, exponent = self._parts(code)
        signs_exponent = self._codes[0] < 0
        return f"{'-' if sign < 0 else plus}e{exponent:{'+' if signs_exponent else ''}d} {mantissa}"

    @cached_property
    def texts(self) -> Sequence[str]:
        """The written numbers, ascending by value."""
        return tuple(map(self.text, range(len(self))))

    def index(self, value: object) -> int:
        """The nearest number of as many significant digits; what is nearer to zero than half the smallest is zero.

        Raises:
            AnswerError: If the value is not a finite number, or lies outside the grid.
        """
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise AnswerError(f"The target {value!r} is not a number.") from None
        if not math.isfinite(number):
            raise AnswerError(f"The target {value!r} is not a finite number.")
        first, negative, positive = self._codes
        if self._zero and abs(number) < self.smallest / 2:
            return self._below
        near = self._zero and abs(number) < self.smallest  # rounds up to it
        code = first if near else self._code(abs(number)) if number else first - 1
        if not first <= code <= (negative if number < 0 else positive):
            raise AnswerError(
                f"The target {number:g} lies outside the grid from {self.low:g} to {self.high:g}, magnitudes from "
                f"{self.smallest:g}.",
                remedy="Widen space.low and space.high, or lower space.smallest.",
            )
        return negative - code if number < 0 else self._below + self._zero + code - first

    def parse(self, text: str) -> int | None:
        """The number that a text spells exactly as the grid writes it, outer blanks aside; None otherwise."""
        text = text.strip()
        found = _WRITTEN.fullmatch(text)
        value = 0.0
        if found is not None:
            sign, exponent, mantissa = found.groups()
            value = float(f"{sign}{mantissa}e{exponent}")
        try:
            index = self.index(value)
        except AnswerError:
            return None
        return index if self.text(index) == text else None

    def character_weights(self, index: int) -> list[float]:
        """One more for each digit to its left, exponent before mantissa; other characters as the digit behind them."""
        weights, weight = [], 0.0
        for character in reversed(self.text(index)):
            weight += character.isdigit() or weight == 0.0
            weights.append(weight)
        weights.reverse()
        return [weight + 1.0, *weights[1:]] if self.low < 0 else weights

    def admit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of a head, clipped to the grid's range."""
        clipped: NDArray[np.float64] = np.clip(values, self.low, self.high)
        return clipped

    def to_json(self) -> dict[str, Any]:
        """``{"kind": "log numbers", "low": …, "high": …, "smallest": …, "digits": …}``."""
        bounds = {"low": self.low, "high": self.high, "smallest": self.smallest}
        return {"kind": "log numbers", **bounds, "digits": self.digits}

    def __str__(self) -> str:
        return f"numbers from {self.low:g} to {self.high:g}, {self.digits} significant digits each"
