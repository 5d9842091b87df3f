from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from predgen import precision
from predgen.answers.spaces import FreeNumber, LogGrid
from predgen.decoding.close import close_calls, largest_move
from predgen.errors import ConfigError
from predgen.model.half import in_bfloat16
from predgen.model.outputs import Scores
from predgen.model.scale import scale_of
from predgen.precision import Trial, has_bfloat16, precision_of, try_both, with_precision
from predgen.training.fit import Fitted
from predgen.training.run_folder import RECORD

TEXTS = ["The film 3 was good", "The film 4 was simply bad", "The film 5 was not good"]


def test_the_processor_is_asked(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nflags : fpu avx512f avx512_bf16 sse\n")
    assert has_bfloat16(info)
    info.write_text("flags : fpu avx512f\n")
    assert not has_bfloat16(info)
    assert not has_bfloat16(tmp_path / "none")


@pytest.mark.parametrize("method", ["predgen", "generator", "predictor"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_half_precision_stays_close_and_its_scoring_head_is_float32(
    fitted: Callable[..., Fitted], method: str, task: str
) -> None:
    run = fitted(method, task).run
    half = in_bfloat16(run.method)
    lm = half.writer.lm
    assert lm.get_input_embeddings().weight.dtype == torch.bfloat16
    assert lm.get_output_embeddings().weight.dtype == torch.float32
    assert all(parameter.dtype == torch.float32 for parameter in run.method.parameters())
    trial = try_both(run, dataclasses.replace(run, method=half), TEXTS)
    assert trial.rows == 3 and trial.faster > 0
    assert trial.log_p < 0.6 and trial.value < 0.3  # after steps of a high rate
    assert trial.log_p + trial.value > 0  # it is another computation


def test_auto_chooses_by_speed_and_agreement(fitted: Callable[..., Fitted], monkeypatch: pytest.MonkeyPatch) -> None:
    run, said = fitted("generator", "classification").run, list[str]()
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    assert with_precision(run, "auto", TEXTS, said.append) is run and "none of amx_bf16" in said[-1]
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    for trial, chosen in (
        (Trial(3, 0.9, 0.01, 0.0, 0), "fp32"),
        (Trial(3, 2.0, 0.01, 0.0, 0), "bf16"),
        (Trial(3, 2.0, 0.01, 0.0, 1), "fp32"),
        (Trial(3, 2.0, 0.5, 0.0, 0), "fp32"),
    ):
        monkeypatch.setattr(precision, "try_both", lambda *_, trial=trial: trial)
        assert precision_of(with_precision(run, "auto", TEXTS, said.append)) == chosen
        assert said[-1].startswith(f"Precision: {chosen}; on the first 3 rows")
    assert precision_of(with_precision(run, "bf16", TEXTS, said.append)) == "bf16"
    with pytest.raises(ConfigError, match="Unknown precision"):
        with_precision(run, "int8", TEXTS, said.append)


def test_close_rows_are_marked(fitted: Callable[..., Fitted]) -> None:
    run = fitted("generator", "classification").run
    assert all(row.close is None for row in run.predict(TEXTS))
    gaps = np.sort(np.abs(np.diff(np.log(run.predict_proba(TEXTS)), axis=1))[:, 0])
    rounding = float(gaps[0] + gaps[1]) / 4  # twice that lies between the smallest gap and the next
    marks = [row.close for row in dataclasses.replace(run, rounding=rounding).predict(TEXTS)]
    assert marks.count(True) == 1 and marks.count(None) == 2


@pytest.mark.parametrize("space", [LogGrid(1, 9_900_000, 1, 2), FreeNumber(8, 2, True)])
def test_over_orders_of_magnitude_numbers_move_on_the_scale_that_heads_learn(space: LogGrid | FreeNumber) -> None:
    """One percent of a million is little, and so it is of a hundred."""
    scale = scale_of(space, [3.0, 200.0, 1_000_000.0])
    record = SimpleNamespace(decision="head", mean=scale.mean, spread=scale.spread)
    run = SimpleNamespace(space=space, record=record, reader_name="head")
    for number in (100.0, 1_000_000.0):
        exact, rounded = (Scores.nothing()._replace(value=torch.tensor([factor * number])) for factor in (1.0, 1.01))
        _, value, _ = precision._compared(run, exact, rounded)
        assert value == pytest.approx(math.log(1.01) / scale.spread, rel=0.01)


def test_what_counts_as_close() -> None:
    probabilities = np.array([[0.5, 0.48, 0.02], [0.7, 0.2, 0.1]])
    assert close_calls(probabilities, 0.03).tolist() == [True, False]  # log(0.5 / 0.48) = 0.041
    assert close_calls(probabilities, 0.02).tolist() == [False, False]
    one, other = np.log([[0.9, 0.0999, 0.0001]]), np.log([[0.9, 0.0989, 0.0011]])
    assert largest_move(one, other) == pytest.approx(np.log(0.0999 / 0.0989))


def test_predict_goes_on_in_the_precision_it_began_in(
    fitted: Callable[..., Fitted], workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from predgen.cli import app

    folder, target = fitted("generator", "classification").folder, tmp_path / "out.jsonl"
    assert (folder / RECORD).exists()
    command = ["predict", str(folder), str(workshop / "rows.jsonl"), "--out", str(target)]
    result = CliRunner().invoke(app, [*command, "--precision", "bf16"])
    assert result.exit_code == 0 and "Precision: bf16" in result.output, result.output
    lines = target.read_text().splitlines(keepends=True)
    (tmp_path / "out.jsonl.part").write_text("".join(lines[:20]))
    monkeypatch.setattr(precision, "try_both", lambda *_: Trial(3, 0.5, 0.01, 0.0, 0))
    from predgen.downloads import sha256_of

    facts = {
        "run": sha256_of(folder / RECORD),
        "rows": sha256_of(workshop / "rows.jsonl"),
        "options": None,
        "precision": "bf16",
    }
    import predgen.decoding.options as options

    facts["options"] = json.dumps(dataclasses.asdict(options.PredictOptions()), sort_keys=True)
    (tmp_path / "out.jsonl.part.json").write_text(json.dumps(facts))
    result = CliRunner().invoke(app, [*command, "--precision", "auto", "--resume"])
    assert result.exit_code == 0 and "Going on behind 20 rows" in result.output, result.output
    assert len(target.read_text().splitlines()) == len(lines)
