"""What training shows and writes down while it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from predgen.learning import preferred
from predgen.training.run_folder import finite

Logs = dict[str, Any]
_TRAIN_KEYS = (
    "loss",
    "writer_loss",
    "director_loss_gold",
    "director_loss_own",
    "sampling_probability",
    "learning_rate",
    "grad_norm",
    "rows_per_second",
)
_SHOWN = {
    "writer_loss": "writer",
    "director_loss_gold": "director|gold",
    "director_loss_own": "director|own",
    "sampling_probability": "p",
}


class MetricsLog(TrainerCallback):
    """Appends one JSON object a log to a file: training lines and dev lines, told apart by ``event``.

    Args:
        path: The file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Logs | None = None,
        **kwargs: Any,
    ) -> None:
        """Writes a training or a dev line."""
        record = _record(state, logs or {})
        if record is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(finite(record), ensure_ascii=False) + "\n")


def _record(state: TrainerState, logs: Logs) -> Logs | None:
    if "dev_record" in logs:
        record: Logs = logs["dev_record"]
        return record
    if "loss" in logs:
        kept = {key: logs[key] for key in _TRAIN_KEYS if key in logs}
        return {"event": "train", "step": state.global_step, **kept}
    return None


class ProgressBar(TrainerCallback):
    """A bar on a terminal; elsewhere one line a tenth of the way and one an evaluation.

    Args:
        console: Where to write.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._parts: dict[str, str] = {}
        self._best: Logs | None = None
        self._next_line = 0
        self._bar: Progress | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Opens the bar."""
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[parts]}", markup=False),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._bar.start()
            self._task = self._bar.add_task("fit", total=state.max_steps, parts="")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Moves the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Logs | None = None,
        **kwargs: Any,
    ) -> None:
        """Shows the losses, or a dev result."""
        record = _record(state, logs or {})
        if record is None:
            return
        if record["event"] == "dev":
            self._show_dev(record)
        else:
            self._show_losses(record, state)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Closes the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show_losses(self, record: Logs, state: TrainerState) -> None:
        losses = {shown: f"{record[key]:.3f}" for key, shown in _SHOWN.items() if key in record}
        if "writer" not in losses:  # a head alone: its loss is the whole loss
            losses = {"loss": f"{record['loss']:.3f}"}
        dev = {key: value for key, value in self._parts.items() if key == "dev"}
        # No rate where every batch since the last line was left out.
        rate = {"rows/s": f"{record['rows_per_second']:.1f}"} if "rows_per_second" in record else {}
        self._parts = {**losses, **rate, **dev}
        if self._bar is not None:
            self._bar.update(self._task, parts=self._text())
        elif state.global_step >= self._next_line:
            self._line(f"step {state.global_step}/{state.max_steps}  {self._text()}")
            self._next_line = state.global_step + max(1, state.max_steps // 10)

    def _show_dev(self, record: Logs) -> None:
        metric, value = record["metric"], record["value"]
        is_best = self._best is None or preferred(record, self._best)
        self._best = record if self._best is None or is_best else self._best
        self._parts["dev"] = f"{metric} {value:.4f} (best {self._best['value']:.4f})"
        best = ", the best so far" if is_best else ""
        self._line(f"step {record['step']}: dev {metric} {value:.4f}, decision {record['decision']}{best}")

    def _text(self) -> str:
        return "  ".join(f"{key} {value}" for key, value in self._parts.items())

    def _line(self, text: str) -> None:
        (self._bar.console if self._bar is not None else self._console).print(
            text, highlight=False, markup=False, soft_wrap=True
        )
