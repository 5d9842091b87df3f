from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from predgen.cli import app
from predgen.config import RunConfig
from predgen.errors import ConfigError


def test_tune_on_the_command_line(tmp_path: Path, tiny_base: Path, fits: list[RunConfig]) -> None:
    rows = [{"text": f"the film {n} was good", "stars": n % 7 / 2} for n in range(30)]
    (tmp_path / "reviews.jsonl").write_text("\n".join(map(json.dumps, rows)))
    arguments = [
        "tune", tmp_path / "reviews.jsonl", "--target", "stars", "--model", tiny_base, "--out", tmp_path / "t",
        "--trials", 5, "--no-pruning", "--search", "peft.rank=2,4", "--peft", "lora", "--set",
        "train.batch_size=4", "--seed", 3,
    ]  # fmt: skip
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    for words in (
        "Searched, 5 trials: method: predgen, generator, predictor; loss: null, wdal_released, wdal, sum; ",
        "peft.rank: 2, 4; ",
        "5 trials finished, 0 ended early, 0 failed.",
        "What mae varies by: ",
        f"Best run: {tmp_path / 't' / 'best'}",
    ):
        assert words in result.output.replace("\n", " "), result.output
    assert {made.peft.method for made in fits} == {"lora"} and {made.train.seed for made in fits} == {3}
    assert {made.peft.rank for made in fits} <= {2, 4} and {made.train.batch_size for made in fits} == {4}
    assert {made.data.target for made in fits} == {"stars"}


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    result = CliRunner().invoke(app, ["tune", "rows.csv"])
    assert isinstance(result.exception, ConfigError) and "predgen[tune]" in str(result.exception)
