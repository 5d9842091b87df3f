"""Hostile rows and answers, a few hundred of the hundred thousand that `benchmarks/hostile.py` sends through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def hostile(benchmark_module: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark_module("hostile")


@pytest.mark.parametrize(
    ("space", "method"),
    [
        ("quotes, commas", "predgen"),
        ("near-duplicates", "generator"),
        ("digits", "predictor"),
        ("scripts, emoji", "predgen"),
        ("signed grid", "predgen"),
        ("free numbers", "predgen"),
    ],
)
def test_every_row_is_answered_within_the_space_or_is_an_error(
    hostile: ModuleType, tmp_path: Path, space: str, method: str
) -> None:
    base = hostile.tiny_base(tmp_path / "base")
    found = hostile.ask(base, tmp_path, space, method, count=120, seed=1)
    assert found["rows"] == 120 and found["errors"] >= 1 and found["answered"] >= 100


def test_the_check_can_fail(hostile: ModuleType) -> None:
    from predgen.answers.spaces import LabelSet, NumberGrid

    labels = LabelSet(("a", "b"))
    good = {"prediction": "a", "probabilities": {"a": 0.75, "b": 0.25}, "set": ["a"]}
    assert hostile.belongs(good, labels)
    assert not hostile.belongs({**good, "prediction": "c"}, labels)
    assert not hostile.belongs({**good, "probabilities": {"a": 0.75, "b": 0.5}}, labels)
    assert not hostile.belongs({"prediction": 1.2, "interval": [0.0, 1.0]}, NumberGrid(0, 1, 1))
