"""An estimator ↔ a run folder with one file more, which holds what a run does not know of its estimator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from predgen.config_reading import config_from_dict
from predgen.data.templates import template_fields
from predgen.errors import RunFolderError
from predgen.estimators.arguments import arguments_of, plain, settings_besides
from predgen.estimators.kept_run import KeptRun
from predgen.hub import ESTIMATOR, located
from predgen.loading import load_single
from predgen.training.run_folder import METRICS, claim, read_json, write_json

if TYPE_CHECKING:
    from predgen.estimators.base import TextEstimator

Estimator = TypeVar("Estimator", bound="TextEstimator")


def save_estimator(estimator: TextEstimator, folder: Path) -> Path:
    """Writes a fitted estimator.

    Raises:
        RunFolderError: If something is there already.
    """
    claim(folder, overwrite=False)
    estimator.kept_.copy_to(folder)
    arguments = {name: plain(value) for name, value in estimator.get_params(deep=False).items()}
    record = {
        # A generator of random numbers is no JSON: the seed that it gave stands in the run's settings.
        "arguments": {name: value for name, value in arguments.items() if _is_json(value)},
        "columns": list(estimator.columns_),
        "features": getattr(estimator, "n_features_in_", None),
        "named": hasattr(estimator, "feature_names_in_"),
        **estimator.facts(),
    }
    write_json(folder / ESTIMATOR, record)
    return folder


def load_estimator(kind: type[Estimator], folder: Path) -> Estimator:
    """Reads a fitted estimator, or makes one of a run folder that was fitted elsewhere.

    Raises:
        RunFolderError: If it is no run, is damaged, or predicts something else.
    """
    folder = located(folder)
    run = load_single(folder)
    if run.record.task != kind.task:
        raise RunFolderError(f"{folder} is a run of {run.record.task}.", f"{kind.__name__} is for {kind.task}.")
    facts = read_json(folder, ESTIMATOR) if (folder / ESTIMATOR).exists() else {}
    config = config_from_dict(run.record.config, where=str(folder))
    arguments = kind.as_arguments(arguments_of(kind.setting_names, config))
    arguments["settings"] = settings_besides(kind.setting_names, config)
    try:
        estimator = kind(**{**arguments, **facts.get("arguments", {})})
        estimator.settings = tuple(estimator.settings)
        estimator.columns_ = tuple(facts.get("columns") or template_fields(run.template))
        if facts.get("features") is not None:
            estimator.n_features_in_ = facts["features"]
        if facts.get("named"):
            estimator.feature_names_in_ = np.array(estimator.columns_, dtype=object)
        estimator.restore(run, facts)
    except (TypeError, KeyError, AttributeError, ValueError) as problem:
        raise RunFolderError(f"{folder / ESTIMATOR} is damaged: {problem!r}.") from problem
    estimator.kept_ = KeptRun(run, folder)
    estimator.notes_, estimator.dev_result_ = [], read_json(folder, METRICS)["dev"]
    return estimator


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True
