from __future__ import annotations

import math

import pytest
import torch

from predgen.answers.free_number import FreeNumber
from predgen.answers.spaces import NumberGrid
from predgen.model.scale import Scale, scale_of


def test_restoring_undoes_standardising() -> None:
    targets = torch.tensor([-1250.0, -0.5, 0.0, 3.0, 1e6], dtype=torch.float64)
    for scale in (Scale(1.5, 2.0), Scale(1.5, 2.0, "asinh")):
        assert torch.allclose(scale.restore(scale.standardise(targets)), targets)


def test_the_scale_follows_the_space() -> None:
    assert scale_of(NumberGrid(0, 4, 0), [1.0, 3.0]) == Scale(2.0, 1.0)
    free = scale_of(FreeNumber(7, 0, False), [math.sinh(1.0), math.sinh(3.0)])
    assert (free.mean, free.spread, free.kind) == (pytest.approx(2.0), pytest.approx(1.0), "asinh")
    assert scale_of(NumberGrid(0, 4, 0), [2.0, 2.0]).spread == 1.0


def test_wild_outputs_stay_finite() -> None:
    assert torch.isfinite(Scale(0.0, 1.0, "asinh").restore(torch.tensor([1e9, -1e9]))).all()
