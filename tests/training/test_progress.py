from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console
from transformers import TrainerControl, TrainerState, TrainingArguments

from predgen.training.progress import MetricsLog, ProgressBar

TRAIN = {
    "loss": 3.0,
    "writer_loss": 1.5,
    "director_loss_own": 0.25,
    "sampling_probability": 0.4,
    "learning_rate": 1e-3,
    "grad_norm": float("nan"),
    "rows_per_second": 6.25,
    "epoch": 0.5,
}
DEV = {
    "event": "dev",
    "step": 5,
    "metric": "mae",
    "decision": "mean",
    "value": 0.5,
    "decisions": {"mean": {"mae": 0.5}},
}


def state() -> TrainerState:
    return TrainerState(global_step=5, max_steps=10)


def shown(terminal: bool, tmp_path: Path) -> str:
    text = io.StringIO()
    bar = ProgressBar(Console(file=text, force_terminal=terminal, width=160, color_system=None))
    common = (TrainingArguments(output_dir=str(tmp_path)), state(), TrainerControl())
    bar.on_train_begin(*common)
    bar.on_log(*common, logs=TRAIN)
    bar.on_log(*common, logs={"eval_mae": 0.5, "dev_record": DEV})
    bar.on_log(*common, logs={"train_runtime": 9.0})
    bar.on_step_end(*common)
    bar.on_train_end(*common)
    return text.getvalue()


def test_a_terminal_sees_a_bar_with_all_parts(tmp_path: Path) -> None:
    output = shown(True, tmp_path)
    for words in ("step 5/10", "writer 1.500", "director|own 0.250", "p 0.400", "rows/s 6.2", "dev mae 0.5000"):
        assert words in output


def test_elsewhere_there_are_plain_lines(tmp_path: Path) -> None:
    assert shown(False, tmp_path).splitlines() == [
        "step 5/10  writer 1.500  director|own 0.250  p 0.400  rows/s 6.2",
        "step 5: dev mae 0.5000, decision mean, the best so far",
    ]


def test_the_log_is_json_lines_without_nan(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    common = (TrainingArguments(output_dir=str(tmp_path)), state(), TrainerControl())
    for logs in (TRAIN, {"dev_record": DEV}, {"train_runtime": 9.0}):
        log.on_log(*common, logs=logs)
    train, dev = (json.loads(line) for line in path.read_text().splitlines())
    assert (train["event"], train["step"], train["grad_norm"], train["writer_loss"]) == ("train", 5, None, 1.5)
    assert dev == DEV
