from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from predgen.figures import confusion_matrix, learning_curves, predicted_against_true, side_by_side


def png_size(path: Path) -> tuple[int, int]:
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", header[16:24])


def records(**extra: float) -> list[dict[str, Any]]:
    train = [{"event": "train", "step": step, "loss": 1.0 / step, **extra} for step in (1, 2, 3)]
    decisions = {"mean": {"mae": 0.5}, "median": {"mae": None}}
    dev = [
        {"event": "dev", "step": step, "metric": "mae", "decision": "mean", "value": 0.5, "decisions": decisions}
        for step in (1, 3)
    ]
    return [*train, *dev]


def test_panels_without_data_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    assert learning_curves(records(director_loss_gold=1.0), path) == ["director loss", "dev mean absolute error"]
    assert min(png_size(path)) > 300
    full = records(writer_loss=1.0, director_loss_own=1.0, sampling_probability=0.5)
    assert learning_curves(full, path)[-1] == "sampling probability"


def test_pictures_are_written(tmp_path: Path) -> None:
    truth, predicted = [float(n) for n in range(40)], [n + 0.5 for n in range(40)]
    low, high = [n - 1.0 for n in predicted], [n + 1.0 for n in predicted]
    predicted_against_true(truth, predicted, low, high, "a title", tmp_path / "a.png")
    predicted_against_true(truth, predicted, None, None, "a title", tmp_path / "b.png")
    confusion_matrix(["x", "y", "y"], ["x", "x", "y"], ["x", "y", "a very long label indeed"], "t", tmp_path / "c.png")
    values = [("one", "mean", 0.5), ("constant", "mean", 1.0)]
    side_by_side([("one", truth, predicted)], values, "mae", tmp_path / "d.png")
    for name in "abcd":
        assert min(png_size(tmp_path / f"{name}.png")) > 300


def test_unequal_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        predicted_against_true([1.0, 2.0], [1.0], None, None, "", tmp_path / "a.png")
    with pytest.raises(ValueError, match="zip"):
        confusion_matrix(["a"], [], ["a", "b"], "", tmp_path / "a.png")
