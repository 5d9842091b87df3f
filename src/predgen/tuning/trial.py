"""One trial: a fit whose dev results the study watches."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from predgen.config import RunConfig
from predgen.config_reading import with_settings
from predgen.data.objects import RowsInMemory
from predgen.errors import ModelError
from predgen.training.fit import fit


class WatchDev(TrainerCallback):
    """Reports each dev result to the study, and ends the fit where the study or the clock says so.

    Results are compared by how many evaluations a trial has had: with `train.evaluations` spread evenly over a run,
    that is the share of its way, however many epochs it is to take.

    Args:
        trial: Whose results they are.
        deadline: On `time.monotonic`'s clock; None: there is none.
    """

    def __init__(self, trial: optuna.Trial, deadline: float | None) -> None:
        self._trial, self._deadline, self._evaluations = trial, deadline, 0

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Reports, and prunes.

        Raises:
            TrialPruned: If the trial is behind the others, or time is up.
        """
        if "dev_record" not in (logs or {}):
            return
        value = (logs or {})["dev_record"]["value"]
        if math.isfinite(value):
            self._trial.report(value, self._evaluations)
        self._evaluations += 1
        if state.global_step >= state.max_steps:
            return  # nothing would be saved
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise optuna.TrialPruned("time is up")
        if self._trial.should_prune():
            raise optuna.TrialPruned(f"behind the median at evaluation {self._evaluations}")


def run_trial(
    config: RunConfig,
    settings: Mapping[str, Any],
    folder: Path,
    trial: optuna.Trial,
    deadline: float | None,
    trust_remote_code: bool = False,
    data: RowsInMemory | None = None,
) -> float:
    """Fits, and returns the best dev value; test rows are held out and not looked at.

    Args:
        config: What all trials share.
        settings: What this one tries.
        folder: For its run, which is removed afterwards.
        trial: What watches it.
        deadline: As `WatchDev` takes it.
        trust_remote_code: As `fit` takes it.
        data: As `fit` takes it.

    Raises:
        TrialPruned: As `WatchDev` says.
        PredgenError: As `fit` says.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        fitted = fit(
            with_settings(config, {**settings, "out": str(folder)}),
            say=lambda line: None,
            trust_remote_code=trust_remote_code,
            data=data,
            report=False,
            show_progress=False,
            callbacks=[WatchDev(trial, deadline)],
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    value = float(fitted.metrics["dev"]["value"])
    if not math.isfinite(value):
        raise ModelError(f"The dev metric is {value}.", remedy="Choose another train.metric, or more dev rows.")
    return value
