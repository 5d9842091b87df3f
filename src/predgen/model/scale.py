"""Targets ↔ what a head is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from predgen.answers.free_number import FreeNumber
from predgen.answers.spaces import LogGrid, Numbers

# sinh of more overflows float32 on the way to a number that no space can write.
_MOST = 40.0


@dataclass(frozen=True)
class Scale:
    """Standardisation: mean 0 and spread 1 over the training targets, or over their inverse hyperbolic sines.

    The latter for numbers without bounds, which differ by orders of magnitude: asinh is straight around 0 and a
    logarithm, of either sign, far from it, so that a single million does not decide what a squared error learns.

    Args:
        mean: Of the (transformed) training targets.
        spread: Their standard deviation, positive.
        kind: "linear", or "asinh".
        unit: What targets are divided by before an inverse hyperbolic sine, so that it is a logarithm from there on.
    """

    mean: float = 0.0
    spread: float = 1.0
    kind: Literal["linear", "asinh"] = "linear"
    unit: float = 1.0

    def standardise(self, target: Tensor) -> Tensor:
        """Targets → what a head should say."""
        return ((torch.asinh(target / self.unit) if self.kind == "asinh" else target) - self.mean) / self.spread

    def restore(self, output: Tensor) -> Tensor:
        """What a head says → numbers in the target's units."""
        value = output * self.spread + self.mean
        return torch.sinh(value.clamp(-_MOST, _MOST)) * self.unit if self.kind == "asinh" else value


def scale_kind(space: object) -> Literal["linear", "asinh"]:
    """The scale that suits a space."""
    return "asinh" if isinstance(space, FreeNumber | LogGrid) else "linear"


def scale_unit(space: object) -> float:
    """Where numbers of a space begin to be told apart by their logarithms."""
    return space.smallest if isinstance(space, LogGrid) else 1.0


def stored_scale(space: object, mean: float, spread: float) -> Scale:
    """The scale of a space's targets whose mean and spread a run has kept."""
    return Scale(mean, spread, scale_kind(space), scale_unit(space))


def scale_of(space: Numbers, targets: Sequence[float]) -> Scale:
    """The scale of training targets; a constant sample of a target that does vary has a spread of 1."""
    kind, unit = scale_kind(space), scale_unit(space)
    numbers = np.array(targets, dtype=float)
    numbers = np.arcsinh(numbers / unit) if kind == "asinh" else numbers
    return Scale(float(numbers.mean()), float(numbers.std()) or 1.0, kind, unit)
