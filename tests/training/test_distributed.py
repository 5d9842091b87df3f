"""Two processes on one machine, which talk by gloo; spawned from a server that has imported everything once."""

from __future__ import annotations

import contextlib
import copy
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from accelerate import Accelerator
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file
from torch import nn

import predgen
from predgen.config_reading import load_config
from predgen.data.batches import TrainingRow, collate
from predgen.processes import join_processes
from predgen.scoring import score_answers
from predgen.sharded import is_sharded, open_entrances, whole
from predgen.training.fit import fit

RECIPES = Path(__file__).parent.parent.parent / "recipes" / "accelerate"
# Two processes that share 7 rows, 4 and 3 of them; at the end of an epoch 2, of 30: one each.
TOGETHER = (
    "train.batch_size=7",
    "train.max_steps=10",
    "sampling.own=sample",
    "sampling.start=0.4",
    "director.kind=value",
    "train.seed=4",
)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _as_rank(rank: int, port: int, output: str, task: Callable[..., None], args: tuple[Any, ...]) -> None:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{output}.{rank}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1")
    task(*args)


class Pair:
    """Two ended processes: their exit codes, and what each wrote."""

    def __init__(self, output: str, processes: list[BaseProcess]) -> None:
        self.codes = [process.exitcode for process in processes]
        self.out, self.err = (
            [Path(f"{output}.{rank}.{name}").read_text() for rank in (0, 1)] for name in ("out", "err")
        )


@pytest.fixture
def pair(tmp_path: Path) -> Callable[..., Pair]:
    """Runs a task in two processes; it must be a function of this module."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["predgen.training.fit", "predgen.cli", "peft", "accelerate"])

    def run(task: Callable[..., None], *args: Any) -> Pair:
        port, output = free_port(), str(tmp_path / task.__name__)
        processes = [context.Process(target=_as_rank, args=(rank, port, output, task, args)) for rank in (0, 1)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(300)
        hanging = [process for process in processes if process.is_alive()]
        for process in hanging:
            process.kill()
        assert not hanging, Pair(output, processes).err
        return Pair(output, processes)

    return run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors") | load_file(folder / "director.safetensors")


def apart(one: Path, other: Path) -> float:
    mine, others = weights(one), weights(other)
    assert mine.keys() == others.keys()
    return max(float((mine[name] - others[name]).abs().max()) for name in mine)


def close(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same up to rounding."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == pytest.approx(other, abs=1e-4) if isinstance(one, float) else bool(one == other)


def log_of(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "rows_per_second"} for line in lines]


def _fit(
    assignments: list[str], resume: bool = False, at: int | None = None, sent: signal.Signals = signal.SIGKILL
) -> None:
    """Fits; process 1 sends itself a signal at a step, if one is given."""
    if at is not None and os.environ["RANK"] == "1":
        _send_at(at, sent)
    fit(load_config(assignments=assignments), say=print, resume=resume)


def _command(*arguments: str) -> None:
    from predgen.cli import main

    sys.argv = ["predgen", *arguments]
    main()


def _send_at(step: int, sent: signal.Signals) -> None:
    from predgen.training.trainer import PredGenTrainer

    honest = PredGenTrainer.compute_loss

    def compute_loss(self: PredGenTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.state.global_step == step:
            os.kill(os.getpid(), sent)
        return honest(self, *args, **kwargs)

    PredGenTrainer.compute_loss = compute_loss  # type: ignore[method-assign]


def test_two_processes_take_one_process_trajectory_and_share_what_comes_after(
    settings: list[str], tmp_path: Path, workshop: Path, pair: Callable[..., Pair]
) -> None:
    settings = [*settings, *TOGETHER, "peft.dropout=0"]
    alone = fit(load_config(assignments=settings), say=lambda line: None).folder
    folder = tmp_path / "together"
    both = pair(_fit, [*settings, f"out={folder}"])
    assert both.codes == [0, 0], both.err
    assert "2 processes share the 7 rows of a step: up to 4 a pass, 1 pass each." in both.out[0]
    assert both.out[1] == ""
    assert apart(alone, folder) < 1e-4
    assert close(log_of(alone), log_of(folder))
    metrics = [json.loads((run / "metrics.json").read_text()) for run in (alone, folder)]
    assert close(*metrics)
    # What came of it is as good as one process's, and two serve it in order.
    rows = str(workshop / "rows.jsonl")
    for name, run in (("one", _command), ("two", lambda *arguments: pair(_command, *arguments))):
        if name == "one":
            with contextlib.suppress(SystemExit), pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", [])
                run("predict", str(folder), rows, "--out", str(tmp_path / "one.jsonl"), "--batch-size", "5")
        else:
            both = run("predict", str(folder), rows, "--out", str(tmp_path / "two.jsonl"), "--batch-size", "5")
            assert both.codes == [0, 0], both.err
            assert "48 predictions, 0 rows with an error" in both.out[0] and both.out[1] == ""
    one, two = ([json.loads(line) for line in (tmp_path / f"{name}.jsonl").open()] for name in ("one", "two"))
    assert [line["row"] for line in two] == list(range(48)) and close(one, two)


def test_what_one_process_has_fitted_again_both_have(
    settings: list[str], tmp_path: Path, pair: Callable[..., Pair]
) -> None:
    """Were it the main one's alone, half of the dev rows would be scored with other weights."""
    settings = [*settings, *TOGETHER, "peft.dropout=0", "train.max_steps=2", "writer.finish=probe", "writer.start=base"]
    alone = fit(load_config(assignments=settings), say=lambda line: None).folder
    both = pair(_fit, [*settings, f"out={tmp_path / 'together'}"])
    assert both.codes == [0, 0], both.err
    assert "kept" in both.out[0] and both.out[1] == ""
    one, two = (json.loads((run / "metrics.json").read_text())["dev"] for run in (alone, tmp_path / "together"))
    assert two["value"] == pytest.approx(one["value"], abs=0.01) and two["decision"] == one["decision"]


def test_stopped_they_stop_together_and_a_killed_one_is_named_and_the_run_goes_on(
    settings: list[str], tmp_path: Path, pair: Callable[..., Pair]
) -> None:
    settings = [*settings, *TOGETHER, "peft.dropout=0.2"]
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    assert pair(_fit, [*settings, f"out={whole}"]).codes == [0, 0]
    both = pair(_fit, [*settings, f"out={folder}"], False, 1, signal.SIGINT)
    assert both.codes == [1, 1]
    assert all("Interrupted: Stopped at step 2 of 10, which is saved" in said for said in both.err)
    both = pair(_fit, [*settings, f"out={folder}"], True, 5)
    assert both.codes == [1, -signal.SIGKILL] and "Going on from step 2" in both.out[0]
    assert "ProcessLost: Process 1 of 2" in both.err[0] and "was killed or broke down" in both.err[0]
    assert "at step 5" in both.err[0] and f"predgen fit --resume --out {folder}" in both.err[0]
    both = pair(_fit, [*settings, f"out={folder}"], True)
    assert both.codes == [0, 0] and "Going on from step 4" in both.out[0]
    assert apart(whole, folder) == 0
    assert log_of(whole) == log_of(folder)


def _divide(method: nn.Module) -> None:
    """What accelerate does with a method under the recipe; by itself it does so on GPUs alone."""
    plugin = FullyShardedDataParallelPlugin()  # reads the environment
    accelerator = SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin), mixed_precision="no", is_main_process=True)
    fsdp2_prepare_model(accelerator, method)


def _sharded_step(folder: str, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    processes = join_processes()
    run = predgen.load(folder)
    method = run.method
    for name, parameter in method.named_parameters():
        parameter.requires_grad_("lora_" in name or name.startswith("director"))
    bodies = [f"The film {number} was {'good' if number % 3 else 'simply bad'}" for number in range(8)]
    prompts = run.encoder.rows(bodies).prompts
    rows = [TrainingRow(ids, number, 0.5 * number, number) for number, ids in enumerate(prompts)]
    plain = copy.deepcopy(method)
    whole_shapes = {name: parameter.shape for name, parameter in method.named_parameters()}
    _divide(method)
    open_entrances(method)
    assert is_sharded(method) and not is_sharded(plain)
    for name, parameter in method.named_parameters():
        held = parameter.to_local()  # type: ignore[operator]
        assert parameter.shape == whole_shapes[name]
        if parameter.shape[0] > 1:
            assert 0 < held.numel() < parameter.numel(), name

    mine, optimizers = rows[processes.rank :: 2], []
    for each, batch in ((plain, rows), (method, mine)):
        each.train()
        each(**collate(batch), step=7).loss.backward()
        optimizers.append(torch.optim.AdamW([p for p in each.parameters() if p.requires_grad], lr=0.01))
    learned = [(p, q) for p, q in zip(plain.parameters(), method.parameters(), strict=True) if p.requires_grad]
    for one, other in learned:
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(whole(other.grad), one.grad, rtol=1e-4, atol=1e-6)
    for optimizer in optimizers:
        optimizer.step()
    for one, other in learned:
        torch.testing.assert_close(whole(other.detach()), one.detach(), rtol=1e-4, atol=1e-4)
    # Apart from AdamW's first step, whose sign is all that counts of a gradient near 0, nothing is apart.
    with torch.no_grad():
        for one, other in learned:
            one.copy_(whole(other.detach()))
    scores = [score_answers(each, prompts, batch_size=3)[0] for each in (plain, method)]
    torch.testing.assert_close(scores[0].log_posterior, scores[1].log_posterior, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scores[0].value, scores[1].value, rtol=1e-4, atol=1e-4)
    print("alike")


@pytest.fixture
def fsdp() -> dict[str, str]:
    """What `accelerate launch` tells its processes under the recipe."""
    command = ["--config_file", str(RECIPES / "fsdp.yaml"), "-m", "predgen"]
    arguments, *_ = _validate_launch_command(launch_command_parser().parse_args(command))
    told = prepare_multi_gpu_env(arguments)
    return {name: value for name, value in told.items() if name.startswith(("FSDP", "ACCELERATE_USE_FSDP"))}


def test_weights_in_parts_learn_and_score_as_whole_ones_do(
    settings: list[str], fsdp: dict[str, str], pair: Callable[..., Pair]
) -> None:
    fitted = fit(load_config(assignments=[*settings, *TOGETHER, "train.max_steps=2"]), say=lambda line: None)
    both = pair(_sharded_step, str(fitted.folder), fsdp)
    assert both.codes == [0, 0], both.err
    assert [said.split()[-1] for said in both.out] == ["alike", "alike"]


def _sharded_fit(assignments: list[str], environment: dict[str, str], resume: bool, kill: int | None) -> None:
    """`fit` as under FSDP, with a stand-in for what accelerate would do of itself on GPUs."""
    honest = Accelerator.prepare

    def prepare(self: Accelerator, *objects: Any, **options: Any) -> Any:
        if not isinstance(objects[0], nn.Module):
            return honest(self, *objects, **options)
        model, optimizer = objects
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        asked = [[names[id(parameter)] for parameter in group["params"]] for group in optimizer.param_groups]
        _divide(model)
        parameters = dict(model.named_parameters())
        for group, chosen in zip(optimizer.param_groups, asked, strict=True):
            group["params"] = [parameters[name] for name in chosen]
        return model, honest(self, optimizer, **options)

    Accelerator.prepare = prepare  # type: ignore[method-assign]
    os.environ.update(environment)
    _fit(assignments, resume, kill)


def test_fit_with_weights_in_parts_goes_on_and_ends_where_one_process_does(
    settings: list[str], tmp_path: Path, fsdp: dict[str, str], pair: Callable[..., Pair]
) -> None:
    settings = [*settings, *TOGETHER, "peft.dropout=0", "train.max_steps=6"]
    alone = fit(load_config(assignments=settings), say=lambda line: None).folder
    parts = [*settings, f"out={tmp_path / 'parts'}"]
    assert pair(_sharded_fit, parts, fsdp, False, 4).codes == [1, -signal.SIGKILL]
    both = pair(_sharded_fit, parts, fsdp, True, None)
    assert both.codes == [0, 0], both.err
    assert "Going on from step 4." in both.out[0] and "The weights are put together again" in both.out[0]
    assert apart(alone, tmp_path / "parts") < 1e-4
    metrics = [json.loads((run / "metrics.json").read_text()) for run in (alone, tmp_path / "parts")]
    assert close(*metrics)


def _skip_of_one(assignments: list[str], narrow: bool = False) -> None:
    """Process 1 has a loss that is no number at step 1, and both at step 3; `narrow`: it has memory for two rows."""
    from predgen.model.method import Method

    honest = Method.forward

    def forward(self: Any, *args: Any, step: int, **batch: Any) -> Any:
        if narrow and os.environ["RANK"] == "1" and len(batch["row_ids"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        output = honest(self, *args, step=step, **batch)
        bad = step == 3 or (step == 1 and os.environ["RANK"] == "1")
        return output._replace(loss=output.loss * float("nan")) if bad else output

    Method.forward = forward  # type: ignore[method-assign]
    _fit(assignments)


def test_what_one_process_leaves_out_or_has_no_memory_for_keeps_all_in_step(
    settings: list[str], pair: Callable[..., Pair]
) -> None:
    both = pair(_skip_of_one, [*settings, *TOGETHER, "train.on_nonfinite=skip", "train.max_steps=5"], True)
    assert both.codes == [0, 0], both.err
    assert "4 rows a pass are too many for memory: 2 a pass, and 2 passes in place of 1" in both.out[0]
    # Two passes of process 1 at step 1, and all four at step 3.
    assert "6 steps or parts of steps were left out" in both.out[0]


def test_an_error_of_one_process_is_told_by_the_other(settings: list[str], pair: Callable[..., Pair]) -> None:
    both = pair(_skip_of_one, [*settings, *TOGETHER])
    assert both.codes == [1, 1]
    assert "loss became nan at step 1" in both.err[1]
    assert "Process 1 of 2" in both.err[0] and "said 'The loss became nan at step 1" in both.err[0]


def _launched(settings: list[str], *options: str) -> subprocess.Popen[str]:
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    config = ["--config_file", str(RECIPES / "ddp_cpu.yaml"), "--main_process_port", str(free_port())]
    chosen = [part for assignment in settings for part in ("--set", assignment)]
    command = [*launch, *config, "-m", "predgen", "fit", *chosen, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_accelerate_launches_it_and_one_that_is_killed_is_named_before_the_launcher_ends_the_other(
    settings: list[str], tmp_path: Path
) -> None:
    settings = [*settings, *TOGETHER, "train.max_steps=60", "train.evaluations=20"]
    launcher = _launched(settings)
    while launcher.poll() is None and not list(tmp_path.glob("run/checkpoints/checkpoint-*")):
        time.sleep(0.2)
    [second] = [each for each in psutil.Process(launcher.pid).children(recursive=True) if each.environ()["RANK"] == "1"]
    second.kill()
    _, said = launcher.communicate(timeout=300)
    assert launcher.returncode != 0
    assert f"Error: Process 1 of 2 (id {second.pid} on " in said and "was killed or broke down" in said
    launcher = _launched(settings, "--resume")
    out, said = launcher.communicate(timeout=600)
    assert launcher.returncode == 0, said
    assert out.count("Going on from step") == out.count("Run folder:") == 1
    assert (tmp_path / "run" / "predgen.json").exists()
