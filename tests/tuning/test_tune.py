from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

import predgen
from predgen.config import RunConfig
from predgen.config_reading import load_config, with_settings
from predgen.errors import Interrupted, ModelError, RunFolderError
from predgen.training.fit import fit
from predgen.tuning import trial as trial_module
from predgen.tuning.search_space import Dimension, dimensions
from predgen.tuning.study import open_study, over
from predgen.tuning.trial import WatchDev
from predgen.tuning.tune import importances, tune

ROWS = [
    {"text": f"The film {n} was {('good', 'bad', 'very good', 'terrible')[n % 4]}", "label": ("good", "bad")[n % 2]}
    for n in range(40)
]
SEARCHED = (
    Dimension("method", ("generator", "predictor")),
    Dimension("train.learning_rate", low=1e-3, high=0.1, log=True),
)


def quiet(line: str) -> None:
    """Says nothing."""


@pytest.fixture
def config(tiny_base: Path) -> RunConfig:
    return load_config(
        assignments=[
            f"model.name={tiny_base}",
            "train.max_steps=4",
            "train.evaluations=2",
            "train.metric=log_loss",
            "data.dev_size=8",
            "data.test_size=8",
            "method=predictor",
        ]
    )


def test_a_search_end_to_end(config: RunConfig, tmp_path: Path) -> None:
    said: list[str] = []
    tuned = tune(config, SEARCHED, tmp_path / "t", trials=2, pruning=False, say=said.append, data=iter(ROWS))
    records = json.loads((tmp_path / "t" / "trials.json").read_text())
    assert [record["state"] for record in records] == ["complete"] * 2
    # The settings as they stand come first, and each value is what a plain fit of its settings finds.
    assert records[0]["settings"] == {"method": "predictor", "train.learning_rate": 1e-3}
    best = min(records, key=lambda record: record["value"])
    assert (tuned.value, tuned.settings) == (best["value"], best["settings"])
    assert tuned.best is not None and tuned.best.metrics["dev"]["value"] == pytest.approx(tuned.value, abs=1e-9)
    again = fit(
        with_settings(config, {**best["settings"], "out": str(tmp_path / "again")}), say=quiet, data=ROWS, report=False
    )
    assert again.metrics["dev"]["value"] == pytest.approx(best["value"], abs=1e-9)
    # Test rows are reported once, by the best run; trials leave nothing behind.
    assert tuned.best.metrics["test"]["rows"] == 8 and "test" not in again.metrics
    assert not (tmp_path / "t" / "trials").exists()
    assert predgen.load(tmp_path / "t" / "best").predict(["good"])
    assert (tmp_path / "t" / "importance.png").stat().st_size > 10_000
    assert any("trials: method: generator, predictor" in line for line in said)


def test_a_search_goes_on_where_it_was_stopped(
    config: RunConfig, tmp_path: Path, fits: list[RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "t"
    tune(config, SEARCHED, folder, trials=3, pruning=False, say=quiet, data=ROWS)
    pretend, killed = trial_module.fit, []

    def stop(config: RunConfig, **options: Any) -> None:
        killed.append(config)
        raise Interrupted("stopped")

    monkeypatch.setattr(trial_module, "fit", stop)
    with pytest.raises(Interrupted, match="3 trials are kept; trial 3 will be tried again"):
        tune(config, SEARCHED, folder, trials=6, pruning=False, say=quiet, data=ROWS)
    # A kill leaves a trial that nobody ended.
    monkeypatch.setattr(trial_module, "fit", pretend)
    study = optuna.load_study(study_name="predgen", storage=f"sqlite:///{folder / 'study.db'}")
    left = study.ask()
    left.suggest_categorical("method", ("generator", "predictor"))
    left.suggest_float("train.learning_rate", 1e-3, 0.1, log=True)
    before, said = len(fits), list[str]()
    tuned = tune(config, SEARCHED, folder, trials=6, pruning=False, say=said.append, data=ROWS)
    assert len(tuned.trials) == 6 and len(fits) == before + 3
    rates = [made.train.learning_rate for made in fits]
    assert len(set(rates)) == len(rates), "a search that goes on must not draw its first values again"
    assert killed[0].train.learning_rate in rates and left.params["train.learning_rate"] in rates
    assert any("3 of 6 trials are done, 1 that were stopped" in line for line in said)
    assert tune(config, SEARCHED, folder, trials=6, say=quiet, data=ROWS).value == tuned.value
    assert len(fits) == before + 3


def test_a_study_of_something_else_is_refused(config: RunConfig, tmp_path: Path, fits: list[RunConfig]) -> None:
    tune(config, SEARCHED, tmp_path / "t", trials=1, say=quiet, data=ROWS)
    other = with_settings(config, {"train.batch_size": 4})
    with pytest.raises(RunFolderError, match=r"train\.batch_size 16 → 4"):
        tune(other, SEARCHED, tmp_path / "t", trials=2, say=quiet, data=ROWS)
    with pytest.raises(RunFolderError, match="rows"):
        tune(config, SEARCHED, tmp_path / "t", trials=2, say=quiet, data=ROWS[:36])
    assert len(tune(other, SEARCHED, tmp_path / "t", trials=2, overwrite=True, say=quiet, data=ROWS).trials) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(RunFolderError, match="not a study's"):
        tune(config, SEARCHED, tmp_path / "mine", trials=1, overwrite=True, say=quiet, data=ROWS)


def test_trials_behind_the_median_are_ended(tmp_path: Path) -> None:
    study = open_study(tmp_path, {}, "mae", seed=0, pruning=True)
    state = type("State", (), {"global_step": 1, "max_steps": 2})

    def evaluated(values: list[float], deadline: float | None = None) -> optuna.Trial:
        trial = study.ask()
        watch = WatchDev(trial, deadline)
        for value in values:
            watch.on_log(None, state, None, {"dev_record": {"value": value}})  # type: ignore[arg-type]
        return trial

    for _ in range(4):
        study.tell(evaluated([2.0, 1.0]), 1.0)
    evaluated([9.0])  # a first evaluation says little
    evaluated([3.0, 0.5])
    with pytest.raises(optuna.TrialPruned, match="behind the median at evaluation 2"):
        evaluated([3.0, 2.5])
    with pytest.raises(optuna.TrialPruned, match="time is up"):
        evaluated([0.1], deadline=0.0)


def test_a_pruned_fit_ends_at_an_evaluation_and_leaves_nothing(config: RunConfig, tmp_path: Path) -> None:
    study = open_study(tmp_path, {}, "log_loss", seed=0, pruning=False)
    trial = study.ask()
    with pytest.raises(optuna.TrialPruned, match="time is up"):
        trial_module.run_trial(config, {"train.learning_rate": 0.01}, tmp_path / "run", trial, 0.0, data=ROWS)
    assert not (tmp_path / "run").exists()
    assert list(study.trials[0].intermediate_values) == [0]  # the first of two evaluations


def test_a_trial_that_fails_is_noted_and_many_end_the_search(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(config: RunConfig, **options: Any) -> None:
        raise ModelError("The loss became nan.")

    monkeypatch.setattr(trial_module, "fit", diverge)
    with pytest.raises(ModelError, match="All 5 trials failed; the last: The loss became nan"):
        tune(config, SEARCHED, tmp_path / "t", trials=9, say=quiet, data=ROWS)
    study = optuna.load_study(study_name="predgen", storage=f"sqlite:///{tmp_path / 't' / 'study.db'}")
    assert [trial.state for trial in over(study)] == [TrialState.FAIL] * 5


def test_values_that_a_setting_cannot_have_fail_their_trial_alone(
    config: RunConfig, tmp_path: Path, fits: list[RunConfig]
) -> None:
    searched = (Dimension("peft.dropout", low=0.5, high=1.5),)
    tuned = tune(config, searched, tmp_path / "t", trials=6, say=quiet, data=ROWS)
    states = {trial["settings"]["peft.dropout"] < 1: trial["state"] for trial in tuned.trials}
    assert states == {True: "complete", False: "fail"}
    assert any("less than 1" in trial.get("reason", "") for trial in tuned.trials)
    assert {made.peft.dropout for made in fits} == {
        trial["settings"]["peft.dropout"] for trial in tuned.trials if trial["state"] == "complete"
    }


def test_a_second_search_in_the_folder_is_refused_while_one_is_at_work(
    config: RunConfig, tmp_path: Path, fits: list[RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pretend, refused = tmp_path / "t", trial_module.fit, list[bool]()

    def meanwhile(config: RunConfig, **options: Any) -> Any:
        for overwrite in (False, True):
            with pytest.raises(RunFolderError, match="Another search"):
                tune(config, SEARCHED, folder, trials=2, overwrite=overwrite, say=quiet, data=ROWS)
            refused.append(overwrite)
        return pretend(config, **options)

    monkeypatch.setattr(trial_module, "fit", meanwhile)
    tuned = tune(config, SEARCHED, folder, trials=2, pruning=False, say=quiet, data=ROWS)
    assert [trial["state"] for trial in tuned.trials] == ["complete"] * 2 and len(refused) == 4


def test_what_matters_is_found() -> None:
    """Of a formula in which the method moves the value by 1, the learning rate by at most 0.1, and alpha by nothing."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    searched = (*SEARCHED, Dimension("peft.alpha", (8.0, 16.0)), Dimension("loss", ("sum", "wdal")))
    for number in range(24):
        trial = study.ask()
        values = {each.name: each.suggest(trial) for each in searched[: 3 + number % 2]}
        study.tell(trial, abs(float(values["train.learning_rate"]) - 0.02) + (values["method"] == "generator"))
        if number == 2:
            assert importances(study) == {}
    shares = importances(study)
    assert next(iter(shares)) == "method" and sum(shares.values()) == pytest.approx(1.0)
    assert shares["peft.alpha"] < 0.02 < 0.9 < shares["method"]
    assert "loss" not in shares  # half of the trials have none


def test_dimensions_reach_the_fit(config: RunConfig, tmp_path: Path, fits: list[RunConfig]) -> None:
    searched = dimensions(["peft.rank=2,4", "sampling.end=0.0..0.5"], {"method", "loss", "train.max_steps"})
    tune(config, searched, tmp_path / "t", trials=3, say=quiet, data=ROWS)
    assert {made.peft.rank for made in fits} <= {2, 4} and all(0 <= made.sampling.end <= 0.5 for made in fits)
