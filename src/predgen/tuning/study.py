"""The study on disk: an SQLite file that knows every trial, so that a search that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna import Study
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from predgen.errors import RunFolderError
from predgen.metrics import METRICS

STUDY, TRIALS = "study.db", "trials.json"
_FACTS, _AGAIN, _REASON, _SECONDS = "facts", "again", "reason", "seconds"
_FIRST_AT_RANDOM = 8  # trials before the sampler learns from what it saw
_NEVER_PRUNED = 4  # trials that there must be to compare with
_SPARED = 1  # a trial's first evaluation says little


def open_study(folder: Path, facts: Mapping[str, Any], metric: str, seed: int, pruning: bool) -> Study:
    """Opens the folder's study, or makes one.

    Args:
        folder: Where it lies.
        facts: What all trials share: settings, rows, what is searched.
        metric: What is optimised.
        seed: Of the sampler.
        pruning: Whether trials that do worse than the median at the same share of their way are stopped.

    Raises:
        RunFolderError: If the study there was made of something else; the message names what differs.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = f"sqlite:///{folder / STUDY}"
    pruner: BasePruner = MedianPruner(_NEVER_PRUNED, _SPARED) if pruning else NopPruner()
    study = optuna.create_study(
        storage=storage,
        study_name="predgen",
        direction="maximize" if METRICS[metric].greater_is_better else "minimize",
        pruner=pruner,
        load_if_exists=True,
    )
    # Seeded anew by how far it is: a search that goes on must not draw its first values again.
    study.sampler = TPESampler(seed=seed + len(study.trials), n_startup_trials=_FIRST_AT_RANDOM)
    wanted = json.loads(json.dumps(facts, sort_keys=True, default=str))
    before = study.user_attrs.get(_FACTS)
    if before is None:
        study.set_user_attr(_FACTS, wanted)
    elif before != wanted:
        names = [name for name in wanted if before.get(name) != wanted[name]]
        changes = "\n  ".join(f"{name}: {_shown(before.get(name), wanted[name])}" for name in names)
        raise RunFolderError(
            f"The study in {folder} was started otherwise:\n  {changes}\n",
            remedy="Undo the changes, name another --out, or start anew with --overwrite.",
        )
    return study


def _shown(before: Any, now: Any) -> str:
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return f"{before!r} → {now!r}"
    return "; ".join(_differences(before, now))


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key in now:
        old, new = before.get(key), now[key]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} {old!r} → {new!r}")
    return found


def give_back(study: Study) -> int:
    """Asks again for the trials that a kill left running; returns how many."""
    stale = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in stale:
        ask_again(study, trial.number, trial.params)
    return len(stale)


def ask_again(study: Study, number: int, values: Mapping[str, Any]) -> None:
    """Ends a trial that was stopped from outside, and puts its settings at the head of the queue."""
    study.tell(number, state=TrialState.FAIL)
    if values:
        study.enqueue_trial(dict(values), user_attrs={_AGAIN: number})


def end_failed(study: Study, trial: optuna.Trial, reason: str) -> None:
    """Ends a trial that could not be finished, with its reason."""
    trial.set_user_attr(_REASON, reason)
    study.tell(trial, state=TrialState.FAIL)


def note_seconds(trial: optuna.Trial, seconds: float) -> None:
    """Keeps how long a trial took."""
    trial.set_user_attr(_SECONDS, round(seconds, 2))


def over(study: Study) -> list[FrozenTrial]:
    """Trials that count: finished, pruned, or failed for a reason of their own."""
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    return [trial for trial in ended if trial.state != TrialState.FAIL or _REASON in trial.user_attrs]


def complete(study: Study) -> list[FrozenTrial]:
    """Trials with a value."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def as_json(trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """What is known of trials, without optuna."""
    return [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.value,
            "settings": trial.params,
            "dev": {str(step): value for step, value in trial.intermediate_values.items()},
            "seconds": trial.user_attrs.get(_SECONDS),
            **({"reason": trial.user_attrs[_REASON]} if _REASON in trial.user_attrs else {}),
        }
        for trial in trials
    ]
