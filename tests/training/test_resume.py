from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from predgen.config_reading import load_config
from predgen.errors import Interrupted, ModelError, RunFolderError
from predgen.training import checkpoints
from predgen.training import fit as fit_module
from predgen.training.checkpoints import find_checkpoint, folder_of, keep_only
from predgen.training.estimate import Estimate
from predgen.training.fit import Fitted, fit
from predgen.training.trainer import PredGenTrainer

KILLS = 20
# Everything that draws chance, and two batches a step, so that nothing of it may be lost.
DEMANDING = ("peft.dropout=0.2", "sampling.own=sample", "train.accumulate=2", "train.batch_size=3", "train.seed=4")
silent = lambda line: None  # noqa: E731


def quiet_fit(assignments: list[str], resume: bool = False) -> Fitted:
    return fit(load_config(assignments=assignments), say=silent, resume=resume)


def weights(folder: Path) -> dict[str, bytes]:
    found = [*folder.glob("adapter_model.safetensors"), *folder.glob("model.safetensors"), *folder.glob("director.*")]
    assert found
    return {path.name: path.read_bytes() for path in found}


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Presses Ctrl-C while the loss of a step is computed."""
    honest = PredGenTrainer.compute_loss

    def compute_loss(self: PredGenTrainer, *args: object, **kwargs: object) -> object:
        if self.state.global_step == step:
            os.kill(os.getpid(), signal.SIGINT)
        return honest(self, *args, **kwargs)

    monkeypatch.setattr(PredGenTrainer, "compute_loss", compute_loss)


def _in_child(assignments: list[str]) -> None:
    import torch

    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    quiet_fit(assignments, resume=True)


def test_killed_at_any_moment_and_continued_it_ends_with_the_same_bits(settings: list[str], tmp_path: Path) -> None:
    started = time.monotonic()
    whole = quiet_fit([*settings, *DEMANDING])
    seconds = time.monotonic() - started
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["predgen.training.fit"])
    chance = random.Random(0)
    kills, finished, folder = 0, 0, tmp_path / "killed"
    while kills < KILLS or not finished:
        child = context.Process(target=_in_child, args=([*settings, *DEMANDING, f"out={folder}"],))
        child.start()
        child.join(chance.uniform(0.3, 1.3) * seconds if kills < KILLS else None)
        if child.exitcode is None:
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            kills += 1
            continue
        assert child.exitcode == 0
        assert weights(folder) == weights(whole.folder)
        logs = [(run / "metrics.jsonl").read_text().splitlines() for run in (folder, whole.folder)]
        steps = [[(json.loads(line)["event"], json.loads(line)["step"]) for line in log] for log in logs]
        assert steps[0] == steps[1]
        finished += 1
        shutil.rmtree(folder)
    assert kills == KILLS


@pytest.mark.parametrize("peft", ["lora", "dora", "adalora", "full"])
def test_ctrl_c_saves_and_says_how_to_go_on(
    peft: str, settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [*settings, f"peft.method={peft}", "train.learning_rate=0.003"]
    whole = quiet_fit(settings)
    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        with pytest.raises(Interrupted, match=rf"Stopped at step 7 of 12.*predgen fit --resume --out {folder}"):
            quiet_fit([*settings, f"out={folder}"])
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"checkpoint-4", "checkpoint-7"}
    assert not list(folder.glob("**/*.pt")) + list(folder.glob("**/*.bin")) + list(folder.glob("**/*.pth"))
    again = quiet_fit([*settings, f"out={folder}"], resume=True)
    assert weights(folder) == weights(whole.folder)
    assert again.metrics == whole.metrics
    assert again.run.calibration == whole.run.calibration and again.run.conformal == whole.run.conformal
    assert not (folder / "checkpoints").exists()


def test_a_finished_run_has_nothing_left_to_do(settings: list[str]) -> None:
    whole = quiet_fit(settings)
    said: list[str] = []
    again = fit(load_config(assignments=settings), say=said.append, resume=True)
    assert again.metrics == json.loads((whole.folder / "metrics.json").read_text())
    assert "nothing is left to do" in said[-1]


def test_a_full_disk_keeps_the_last_good_checkpoint(
    settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = quiet_fit(settings)
    folder = tmp_path / "full"
    honest = checkpoints.save_file

    def save_file(tensors: object, path: Path) -> None:
        if "partial-8" in str(path) and path.name == "random.safetensors":
            raise OSError(28, "No space left on device")
        honest(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_file", save_file)
        with pytest.raises(RunFolderError, match=r"step 8 could not.*No space left.*last good one is that of step 4"):
            quiet_fit([*settings, f"out={folder}"])
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["checkpoint-4"]
    quiet_fit([*settings, f"out={folder}"], resume=True)
    assert weights(folder) == weights(whole.folder)


@pytest.fixture
def stopped(settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was stopped at step 10, with the checkpoints of steps 10 and of the best before it."""
    with monkeypatch.context() as patch:
        stop_at(patch, 9)
        with pytest.raises(Interrupted):
            quiet_fit(settings)
    return tmp_path / "run"


def test_a_checkpoint_cut_short_is_passed_over_aloud(stopped: Path, settings: list[str], tmp_path: Path) -> None:
    latest = folder_of(stopped / "checkpoints", 10)
    content = (latest / "trained.safetensors").read_bytes()
    (latest / "trained.safetensors").write_bytes(content[: len(content) // 2])
    said: list[str] = []
    fit(load_config(assignments=settings), say=said.append, resume=True)
    assert any("step 10 is damaged (trained.safetensors is not what was written)" in line for line in said)
    assert any("Going on from step" in line for line in said)
    whole = quiet_fit([*settings, f"out={tmp_path / 'whole'}"])
    assert weights(stopped) == weights(whole.folder)


def test_a_damaged_best_checkpoint_is_not_what_the_run_ends_with(
    settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [*settings, "train.learning_rate=1e-20"]  # no evaluation after the first is better
    with monkeypatch.context() as patch:
        stop_at(patch, 9)
        with pytest.raises(Interrupted):
            quiet_fit(settings)
    best = folder_of(tmp_path / "run" / "checkpoints", 4) / "trained.safetensors"
    best.write_bytes(best.read_bytes()[:-1] + b"\xff")
    said: list[str] = []
    again = fit(load_config(assignments=settings), say=said.append, resume=True)
    assert any("The best checkpoint, of step 4, is damaged (trained.safetensors is not what" in line for line in said)
    assert again.run.record.best_step == 12


def test_a_time_budget_for_the_rest_leaves_the_schedule_as_it_was(
    settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [*settings, "train.max_steps=null", "train.epochs=2"]  # 30 rows in batches of 5
    with monkeypatch.context() as patch:
        stop_at(patch, 9)
        with pytest.raises(Interrupted):
            quiet_fit(settings)
    monkeypatch.setattr(Estimate, "steps_within", lambda *_: 2)
    again = quiet_fit([*settings, "train.time_budget=1h"], resume=True)
    whole = quiet_fit([*settings, f"out={tmp_path / 'whole'}"])
    assert again.run.record.total_steps == whole.run.record.total_steps == 12
    assert weights(again.folder) == weights(whole.folder)


def test_only_damaged_checkpoints_are_refused(stopped: Path, settings: list[str]) -> None:
    for folder in (stopped / "checkpoints").iterdir():
        (folder / "manifest.json").unlink()
    with pytest.raises(RunFolderError, match="All checkpoints"):
        quiet_fit(settings, resume=True)


def test_changed_settings_are_named_and_refused_unless_accepted(stopped: Path, settings: list[str]) -> None:
    changed = [*settings, "train.learning_rate=0.02", "loss=sum"]
    with pytest.raises(RunFolderError, match=r"loss: None → 'sum'\n.*learning_rate: 0.01 → 0.02\n.*accept-ch"):
        quiet_fit(changed, resume=True)
    said: list[str] = []
    fit(load_config(assignments=changed), say=said.append, resume=True, accept_changes=True)
    assert "Changed since the start: train.learning_rate: 0.01 → 0.02." in said


def test_a_step_of_as_many_rows_in_other_passes_is_no_change(
    stopped: Path, settings: list[str], tmp_path: Path
) -> None:
    narrow = ["train.batch_size=1", "train.accumulate=5"]
    with pytest.raises(RunFolderError, match=r"train\.accumulate: 1 → 4"):
        quiet_fit([*settings, "train.batch_size=1", "train.accumulate=4"], resume=True)
    resumed = quiet_fit([*settings, *narrow], resume=True)
    whole = quiet_fit([*settings, f"out={tmp_path / 'whole'}"])
    for name, tensor in load_file(whole.folder / "adapter_model.safetensors").items():
        assert torch.allclose(load_file(resumed.folder / "adapter_model.safetensors")[name], tensor, atol=1e-5)


def test_changed_rows_are_named_and_refused(stopped: Path, settings: list[str], tmp_path: Path, workshop: Path) -> None:
    other = tmp_path / "rows.jsonl"
    other.write_text((workshop / "rows.jsonl").read_text().replace("film 3 ", "film three "))
    with pytest.raises(RunFolderError, match=r"the content of .*rows.jsonl \(train rows\)"):
        quiet_fit([*settings, f"data.source={other}"], resume=True)
    with pytest.raises(RunFolderError, match="which rows are train rows"):
        quiet_fit([*settings, "data.split_seed=5"], resume=True)


def test_without_anything_to_go_on_from_it_starts(settings: list[str], tmp_path: Path) -> None:
    assert quiet_fit(settings, resume=True).folder == tmp_path / "run"


def test_a_moved_run_goes_on(stopped: Path, settings: list[str], tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(stopped, moved)
    quiet_fit([*settings, f"out={moved}"], resume=True)
    whole = quiet_fit([*settings, f"out={tmp_path / 'whole'}"])
    assert weights(moved) == weights(whole.folder)


def test_weights_that_are_no_numbers_are_never_saved(settings: list[str], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="scores of dev rows are no numbers"):
        quiet_fit([*settings, "train.learning_rate=1e30", "train.warmup=0", "train.on_nonfinite=skip"])
    saved = list((tmp_path / "run").glob("**/trained.safetensors"))
    assert all(tensor.isfinite().all() for path in saved for tensor in load_file(path).values())


def test_killed_after_its_last_step_nothing_more_is_trained(
    settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, extra in enumerate(([], ["train.patience=1", "train.learning_rate=1e-9", "train.evaluations=12"])):
        whole = quiet_fit([*settings, *extra, f"out={tmp_path / f'whole-{number}'}"])
        folder = tmp_path / f"killed-{number}"
        with monkeypatch.context() as patch:
            patch.setattr(fit_module, "_save", lambda *args: pytest.fail("killed"))
            with pytest.raises(pytest.fail.Exception):
                quiet_fit([*settings, *extra, f"out={folder}"])
        quiet_fit([*settings, *extra, f"out={folder}"], resume=True)
        assert weights(folder) == weights(whole.folder)
        assert (folder / "metrics.jsonl").read_text().count("\n") == (whole.folder / "metrics.jsonl").read_text().count(
            "\n"
        )


def test_what_is_kept_and_what_is_found(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path / "nothing", silent) is None
    for step in (2, 10, 9):
        checkpoints.write_checkpoint(folder_of(tmp_path, step), checkpoints.Checkpoint({}, {"state": {"step": step}}))
    assert find_checkpoint(tmp_path, silent) == folder_of(tmp_path, 10)
    keep_only(tmp_path, {folder_of(tmp_path, 9)})
    assert find_checkpoint(tmp_path, silent) == folder_of(tmp_path, 9)
    assert checkpoints.read_values(folder_of(tmp_path, 9), "state") == {"step": 9}
