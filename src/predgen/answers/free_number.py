"""Numbers too many to list, alone or at the end of a worked solution: value ↔ text, without torch."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predgen.errors import AnswerError

# Beyond 15 digits float64 cannot tell neighbours apart.
MOST_DIGITS = 15
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")


@dataclass(frozen=True)
class FreeNumber:
    r"""Decimal numbers up to a stated number of digits, written as people write them: ``42``, ``-0.5``, ``1250``.

    No sign but a minus, no leading zeros, no more decimals than needed. With a marker the model may first write a
    worked solution: any text, then the marker on a line of its own and the number (``… = 42\n#### 42``, as GSM8K has
    it). The number follows a grammar, so that whatever is written before it, a number comes out.

    Args:
        digits: Most digits before the point, 1 to 15.
        decimals: Most digits behind it, 0 to 9.
        negative: Whether numbers below zero can be written.
        marker: What stands between a worked solution and its number, or None: the number stands alone.
        solution_tokens: The longest solution that the model may write, in tokens; then the marker is set for it.

    Raises:
        AnswerError: If the limits leave no number, or more than a float can hold, or the marker is blank.
    """

    digits: int
    decimals: int
    negative: bool
    marker: str | None = None
    solution_tokens: int = 0

    def __post_init__(self) -> None:
        if self.digits < 1 or not 0 <= self.decimals <= 9 or self.digits + self.decimals > MOST_DIGITS:
            raise AnswerError(
                f"Numbers of {self.digits} digits before and {self.decimals} behind the point were asked for.",
                f"At least 1 and 0, and at most {MOST_DIGITS} in all, can be told apart.",
                "Set space.digits and space.decimals.",
            )
        if self.marker is not None and (not self.marker.strip() or self.marker != self.marker.strip()):
            raise AnswerError(
                f"The marker {self.marker!r} is blank, or has blanks around it.", "Expected a text such as ####."
            )
        if self.solution_tokens < 0 or (self.solution_tokens and self.marker is None):
            raise AnswerError(
                f"Solutions of {self.solution_tokens} tokens were asked for with the marker {self.marker!r}.",
                "Solutions need a marker, and a length of 0 or more.",
            )

    @property
    def largest(self) -> float:
        """The largest number that can be written."""
        return 10.0**self.digits - 10.0**-self.decimals

    @property
    def low(self) -> float:
        """The smallest number that can be written."""
        return -self.largest if self.negative else 0.0

    @property
    def high(self) -> float:
        """The largest number that can be written."""
        return self.largest

    def write(self, value: float) -> str:
        """A number as text, rounded to the decimals that there are.

        Raises:
            AnswerError: If it is not finite, has too many digits, or is negative where none can be written.
        """
        if not math.isfinite(value):
            raise AnswerError(f"The target {value!r} is not a finite number.")
        text = f"{abs(value):.{self.decimals}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        if len(text.split(".")[0]) > self.digits:
            raise AnswerError(
                f"The target {value:g} has more than {self.digits} digits before the point.",
                remedy="Raise space.digits.",
            )
        if value < 0 and text != "0":
            if not self.negative:
                raise AnswerError(f"The target {value:g} is negative, and this space has no negative numbers.")
            text = "-" + text
        return text

    def read(self, text: str) -> float | None:
        """The number that a text spells in this form and size, outer blanks aside; None otherwise."""
        text = text.strip()
        if not _NUMBER.fullmatch(text):
            return None
        whole, _, fraction = text.lstrip("-").partition(".")
        fits = len(whole) <= self.digits and len(fraction) <= self.decimals and (self.negative or text[0] != "-")
        return float(text) + 0.0 if fits else None

    def parse(self, text: str) -> float | None:
        """The number of a free text: all of it, or what stands behind its marker; None where there is none."""
        if self.marker is None:
            return self.read(text)
        _, found, behind = text.rpartition(self.marker)
        return self.read(behind) if found else None

    def admit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of a head, brought to numbers that the space can write."""
        # A head never says 42 exactly; rounded as the targets are, it may.
        return np.asarray(np.round(np.clip(values, self.low, self.high), self.decimals) + 0.0, dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        """``{"kind": "free numbers", "digits": …, …}``."""
        return {
            "kind": "free numbers",
            "digits": self.digits,
            "decimals": self.decimals,
            "negative": self.negative,
            "marker": self.marker,
            "solution_tokens": self.solution_tokens,
        }

    def __str__(self) -> str:
        text = f"any number of up to {self.digits} digits and {self.decimals} decimals"
        return text if self.marker is None else f"{text}, behind a solution of up to {self.solution_tokens} tokens"
