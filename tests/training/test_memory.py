from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from predgen.config_reading import load_config
from predgen.errors import ModelError
from predgen.model.method import Method
from predgen.model.outputs import StepOutput
from predgen.model.predgen import PredGen
from predgen.processes import Processes
from predgen.training.fit import Fitted, fit
from predgen.training.passes import SHARE, Division
from predgen.training.redone import RedoneStep

FULL = RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried ...")


def spoken_fit(assignments: list[str]) -> tuple[Fitted, list[str]]:
    said: list[str] = []
    return fit(load_config(assignments=assignments), say=said.append), said


def narrow(
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    problem: Exception,
    where: str = "forward",
    when: Callable[[int], bool] = lambda step: True,
) -> list[tuple[int, int]]:
    """Memory for so many rows a pass; returns (step, rows) of every pass that was taken."""
    passes: list[tuple[int, int]] = []
    honest = Method.forward

    def forward(self: PredGen, *args: object, step: int, **batch: torch.Tensor) -> StepOutput:
        rows = len(batch["row_ids"])
        if rows > most and when(step) and where == "forward":
            raise problem
        output = honest(self, *args, step=step, **batch)
        if rows > most and when(step):

            def fail(gradient: torch.Tensor) -> None:
                raise problem

            # By then the gradients of what comes behind are there.
            states = next(p for n, p in self.named_parameters() if p.requires_grad and "layers.0" in n)
            output = output._replace(loss=output.loss + 0 * _failing(states, fail))
        passes.append((step, rows))
        return output

    monkeypatch.setattr(Method, "forward", forward)
    return passes


def _failing(parameter: torch.Tensor, fail: Callable[[torch.Tensor], None]) -> torch.Tensor:
    through = parameter * 1.0
    through.register_hook(fail)
    return through.sum()


def same(one: Fitted, other: Fitted) -> bool:
    mine, others = (dict(run.run.method.named_parameters()) for run in (one, other))
    return all(torch.allclose(mine[name], others[name], atol=2e-6) for name in mine)


@pytest.fixture
def eight(settings: list[str], tmp_path: Path) -> list[str]:
    """Steps of 8 rows, and 30 rows: the last step of an epoch has 6.

    Losses are over the vocabulary: in the space gradients get so small here that rounding shows in Adam's steps.
    """
    steps = [*settings, "train.batch_size=8", "train.max_steps=6", "sampling.own=sample", "sampling.start=0.5"]
    return [*steps, "writer.normalise=vocabulary", "loss=wdal_released"]


def test_what_the_longest_batch_shows_is_halved_before_training(
    eight: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, _ = spoken_fit([*eight, "train.batch_size=4", "train.accumulate=2"])
    with monkeypatch.context() as patch:
        passes = narrow(patch, 4, FULL)
        halved, said = spoken_fit([*eight, f"out={tmp_path / 'halved'}"])
    assert any("8 rows a pass are too many for memory: 4 a pass, and 2 passes in place of 1" in line for line in said)
    assert max(rows for _, rows in passes) == 4
    assert same(halved, started) and halved.metrics == started.metrics
    # The settings stay what was asked for, so that a larger machine takes larger passes.
    assert halved.run.record.config["train"]["batch_size"] == 8


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_memory_that_runs_out_while_training_halves_from_that_step_on(
    where: str, accumulate: int, eight: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eight = [*eight, f"train.accumulate={accumulate}", "peft.dropout=0"]
    started, _ = spoken_fit([*eight, "train.batch_size=4", f"train.accumulate={2 * accumulate}"])
    with monkeypatch.context() as patch:
        passes = narrow(patch, 4, FULL, where, when=lambda step: 2 <= step < 1000)
        halved, said = spoken_fit([*eight, f"out={tmp_path / 'halved'}"])
    [line] = [line for line in said if "Memory ran out" in line]
    assert "at step 2: from here on 4 rows a pass" in line and f"a step of {8 * accumulate} rows" in line
    steps = [step for step, _ in passes if step < 1000]
    assert sorted(set(steps)) == list(range(6)) and steps == sorted(steps)
    assert all(rows <= 4 for step, rows in passes if 2 < step < 1000)
    assert same(halved, started)
    logs = [(run.folder / "metrics.jsonl").read_text().splitlines() for run in (halved, started)]
    for mine, other in zip(*(map(json.loads, log) for log in logs), strict=True):
        assert mine["step"] == other["step"]
        if mine["event"] == "train":  # a step that was taken again is in the log once
            assert mine["loss"] == pytest.approx(other["loss"], rel=1e-5)
            assert mine["writer_loss"] == pytest.approx(other["writer_loss"], rel=1e-5)


def test_memory_for_not_even_one_row_is_an_error(eight: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, 0, FULL)
    with pytest.raises(ModelError, match=r"longest row alone \(\d+ tokens\).*gradient_checkpointing"):
        spoken_fit(eight)


def test_nor_while_training(eight: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, 0, FULL, when=lambda step: step == 1)
    with pytest.raises(ModelError, match="single row at step 1"):
        spoken_fit(eight)


def test_other_errors_are_not_taken_for_it(eight: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    narrow(monkeypatch, 4, RuntimeError("shapes cannot be multiplied"), when=lambda step: step == 1)
    with pytest.raises(RuntimeError, match="shapes"):
        spoken_fit(eight)


def test_one_of_several_processes_cannot_begin_a_step_again_and_says_how_to_go_on() -> None:
    step = RedoneStep(Division(24, 24, Processes(1, 2)), lambda line: None)
    step.begin(5, 0, 0)

    def full(batch: dict[str, object]) -> torch.Tensor:
        raise FULL

    with pytest.raises(ModelError, match=r"over 12 rows in process 1 of 2 at step 5.*batch_size=8 .*accumulate=3:"):
        step.take({SHARE: [1 / 24] * 12}, full, lambda: None)
