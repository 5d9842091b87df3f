from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from predgen.config import RunConfig
from predgen.training.run_folder import write_json
from predgen.tuning import trial as trial_module
from predgen.tuning import tune as tune_module


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The settings of every fit; a trial's training is replaced by a formula, since what is tested is the search."""
    made: list[RunConfig] = []

    class Pretended:
        def __init__(self, value: float) -> None:
            self.metrics = {"dev": {"value": value}}

    def pretend(config: RunConfig, **options: Any) -> Pretended:
        made.append(config)
        value = abs(config.train.learning_rate - 0.02) + (config.method == "generator")
        for step in (2, 4):
            state = type("State", (), {"global_step": step, "max_steps": 4})
            for callback in options["callbacks"]:
                callback.on_log(None, state, None, {"dev_record": {"value": value}})
        return Pretended(value)

    def refit(study: optuna.Study, config: RunConfig, folder: Path, *rest: Any) -> None:
        (folder / "best").mkdir(exist_ok=True)
        write_json(folder / "best" / "metrics.json", {"dev": {}})

    monkeypatch.setattr(trial_module, "fit", pretend)
    monkeypatch.setattr(tune_module, "_refit", refit)
    monkeypatch.setattr(tune_module, "importance_and_history", lambda *arguments: None)
    return made
