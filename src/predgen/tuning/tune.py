"""The search: trial after trial until there are enough or time is up, then the best settings once more, reported."""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna import Study
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from predgen.config import RunConfig
from predgen.config_reading import with_settings
from predgen.data.objects import RowsInMemory, table_of
from predgen.errors import ConfigError, Interrupted, ModelError, PredgenError, RunFolderError
from predgen.memory import out_of_memory
from predgen.metrics import default_metric
from predgen.record_metrics import checked_metric
from predgen.training.fit import Fitted, fit
from predgen.training.prepare import GivenRows, Prepared, Say, prepare
from predgen.training.run_folder import CONFIG, RECORD, write_json
from predgen.tuning.pictures import importance_and_history
from predgen.tuning.search_space import Dimension, Value, as_they_stand, suggested
from predgen.tuning.study import (
    STUDY,
    TRIALS,
    as_json,
    ask_again,
    complete,
    end_failed,
    give_back,
    note_seconds,
    open_study,
    over,
)
from predgen.tuning.trial import run_trial

BEST, IMPORTANCE, WORK = "best", "importance.png", "trials"
_REFITTED = "refitted"
_FAILURES = 5  # trials that may fail before any has worked


@dataclass(frozen=True)
class Tuned:
    """What `tune` returns.

    Args:
        folder: Study, trials, pictures, and the best run in best/.
        metric: What was optimised, on the dev rows.
        value: The best trial's.
        settings: Its settings.
        trials: Of every trial what `trials.json` holds.
        importance: As `importances` gives it.
        best: The refitted run; None where that trial's run was there from before.
    """

    folder: Path
    metric: str
    value: float
    settings: dict[str, Any]
    trials: list[dict[str, Any]]
    importance: dict[str, float]
    best: Fitted | None


def tune(
    config: RunConfig,
    searched: Sequence[Dimension],
    folder: Path,
    trials: int = 20,
    seconds: float | None = None,
    pruning: bool = True,
    overwrite: bool = False,
    say: Say = print,
    trust_remote_code: bool = False,
    data: RowsInMemory | None = None,
) -> Tuned:
    """Searches for the settings that do best on the dev rows, and fits the best once more.

    Every trial trains and selects on the same rows. Test rows are held out from all of them, and scored once, by the
    best run: its dev value is the best of many and looks better than it is.

    Args:
        config: What all trials share.
        searched: What they differ in; see `dimensions`.
        folder: For the study and the best run. A study that is there goes on, whatever stopped it.
        trials: How many there are to be in all, those of before included.
        seconds: No trial is started once they are over, and the running one ends at its next evaluation; the last fit
            comes on top. None: no limit.
        pruning: Whether trials behind the median of the others are ended early.
        overwrite: Whether to remove a study that is in the folder.
        say: Takes one line at a time.
        trust_remote_code: As `fit` takes it.
        data: As `fit` takes it.

    Raises:
        PredgenError: If settings, data or model cannot be used, or no trial could be finished.
        RunFolderError: If the study there was made of something else, the folder holds other things, or another search
            is at work in it.
        Interrupted: If it was stopped by a signal; nothing is lost but the running trial.
    """
    rows = None if data is None else table_of(data, config.data.max_rows).good_rows  # what can be read but once
    prepared = prepare(config, say, GivenRows(rows))
    metric = config.train.metric or _default_metric(prepared)
    config = replace(config, train=replace(config.train, metric=metric), out=None)
    with _alone(folder):
        _claim(folder, overwrite)
        study = open_study(folder, _facts(config, prepared, searched), metric, config.train.seed, pruning)
        (folder / CONFIG).write_text(config.to_yaml(), encoding="utf-8")
        _start(study, searched, config, trials, say)
        deadline = None if seconds is None else time.monotonic() + seconds
        while len(over(study)) < trials and (deadline is None or time.monotonic() < deadline):
            _one_trial(study, searched, config, folder, deadline, say, trust_remote_code, rows)
            write_json(folder / TRIALS, as_json(over(study)))
            _check_failures(study)
        shutil.rmtree(folder / WORK, ignore_errors=True)
        if not complete(study):
            raise PredgenError(
                f"No trial of {len(over(study))} was finished.",
                "Expected at least one.",
                "Give it more time or trials.",
            )
        importance = importances(study)
        importance_and_history(importance, as_json(over(study)), metric, folder / IMPORTANCE)
        best = _refit(study, config, folder, say, trust_remote_code, rows)
        chosen = study.best_trial
        return Tuned(folder, metric, study.best_value, dict(chosen.params), as_json(over(study)), importance, best)


def importances(study: Study) -> dict[str, float]:
    """Setting → the share of the metric's variance that it explains (fANOVA, Hutter et al. 2014), the greatest first.

    Of settings that every finished trial has: what is asked for only beside some values of another is left out. Empty
    where fewer than four trials were finished, or they all did alike.
    """
    finished = complete(study)
    if len(finished) < 4 or len({trial.value for trial in finished}) < 2:
        return {}
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in shares.items()}


def _default_metric(prepared: Prepared) -> str:
    kind = prepared.schema.kind
    return default_metric(prepared.spaces[0]) if kind == "single" else checked_metric(None, kind)


def _facts(config: RunConfig, prepared: Prepared, searched: Sequence[Dimension]) -> dict[str, Any]:
    """What makes trials comparable."""
    settings = config.to_dict()
    settings.pop("out")
    for name in ("report_to", "eval_batch_size"):
        settings["train"].pop(name)
    return {
        "settings": settings,
        "searched": [str(each) for each in searched],
        "rows": {
            "train": [prepared.train.fingerprint, len(prepared.train)],
            "dev": [prepared.dev.fingerprint, len(prepared.dev)],
        },
    }


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps other searches out of a folder while the block runs: they would take its running trial for a killed one.

    Raises:
        RunFolderError: If one is at work there.
    """
    place = folder.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder, which --overwrite removes.
    lock = FileLock(place.parent / f".{place.name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RunFolderError(
            f"Another search is at work in {folder}.", remedy="Wait until it has ended, or choose another --out."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _claim(folder: Path, overwrite: bool) -> None:
    if folder.is_file():
        raise RunFolderError(f"{folder} is a file.", "Expected a folder for the study.", "Choose another --out.")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / STUDY).exists():
            raise RunFolderError(f"{folder} holds files that are not a study's.", remedy="Choose another --out.")
        if overwrite:
            shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)


def _start(study: Study, searched: Sequence[Dimension], config: RunConfig, trials: int, say: Say) -> None:
    if not study.trials:
        first = as_they_stand(searched, config)
        if first is not None:
            study.enqueue_trial(first)  # so that the best is never worse than what was there
        say(f"Searched, {trials} trials: " + "; ".join(map(str, searched)) + ".")
        return
    again = give_back(study)
    say(
        f"Going on: {len(over(study))} of {trials} trials are done"
        + (f", {again} that were stopped are tried again." if again else ".")
    )


def _one_trial(
    study: Study,
    searched: Sequence[Dimension],
    config: RunConfig,
    folder: Path,
    deadline: float | None,
    say: Say,
    trust_remote_code: bool,
    data: RowsInMemory | None,
) -> None:
    trial = study.ask()
    settings = dict[str, Value]()
    started = time.monotonic()
    try:
        settings = suggested(trial, searched, config)
        value = run_trial(
            config, settings, folder / WORK / f"{trial.number:04d}", trial, deadline, trust_remote_code, data
        )
    except optuna.TrialPruned as stop:
        note_seconds(trial, time.monotonic() - started)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        say(f"Trial {trial.number}: ended early, {stop}. {_shown(trial)}")
    except Interrupted:
        ask_again(study, trial.number, settings)
        raise Interrupted(
            f"Stopped. {len(over(study))} trials are kept; trial {trial.number} will be tried again.",
            remedy="Go on with the same command.",
        ) from None
    except (ConfigError, ModelError, RuntimeError) as problem:  # of these settings: all others' were looked at before
        if isinstance(problem, RuntimeError) and not out_of_memory(problem):
            raise
        end_failed(study, trial, str(problem))
        say(f"Trial {trial.number}: failed. {problem} {_shown(trial)}")
    else:
        note_seconds(trial, time.monotonic() - started)
        study.tell(trial, value)
        best = study.best_trial
        behind = "the best so far" if best.number == trial.number else f"best {best.value:.4f}, trial {best.number}"
        say(f"Trial {trial.number}: {config.train.metric} {value:.4f} ({behind}). {_shown(trial)}")
    finally:
        gc.collect()  # modules refer to each other in circles, and the next trial needs the memory


def _shown(trial: optuna.Trial) -> str:
    spelt = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in trial.params.items()}
    return ", ".join(f"{name}={value}" for name, value in spelt.items())


def _check_failures(study: Study) -> None:
    """Ends a search in which nothing works.

    Raises:
        ModelError: With the reason of the last trial.
    """
    ended = as_json(over(study))
    if len(ended) >= _FAILURES and all(trial["state"] == "fail" for trial in ended):
        raise ModelError(f"All {len(ended)} trials failed; the last: {ended[-1]['reason']}")


def _refit(
    study: Study,
    config: RunConfig,
    folder: Path,
    say: Say,
    trust_remote_code: bool,
    data: RowsInMemory | None,
) -> Fitted | None:
    chosen, target = study.best_trial, folder / BEST
    if study.user_attrs.get(_REFITTED) == chosen.number and (target / RECORD).exists():
        say(f"{target} is trial {chosen.number}'s run already.")
        return None
    say(f"Fitting once more as trial {chosen.number}, with test rows reported.")
    fitted = fit(
        with_settings(config, {**chosen.params, "out": str(target)}),
        overwrite=True,
        say=say,
        trust_remote_code=trust_remote_code,
        data=data,
    )
    study.set_user_attr(_REFITTED, chosen.number)
    return fitted
