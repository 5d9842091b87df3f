from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from predgen.config import RunConfig
from predgen.config_reading import load_config
from predgen.errors import ConfigError
from predgen.estimators import PredGenClassifier, PredGenRegressor
from predgen.estimators.arguments import (
    FOR_LABELS,
    FOR_NUMBERS,
    arguments_of,
    config_of,
    setting_of,
    settings_besides,
)

NOT_SETTINGS = {"settings", "warm_start", "verbose"}


@pytest.mark.parametrize(("kind", "names"), [(PredGenClassifier, FOR_LABELS), (PredGenRegressor, FOR_NUMBERS)])
def test_arguments_are_settings_with_the_same_defaults(kind: type, names: dict[str, str]) -> None:
    signature = inspect.signature(kind.__init__).parameters
    assert set(signature) - {"self"} == set(names) | NOT_SETTINGS
    for argument, name in names.items():
        expected = setting_of(RunConfig(), name)
        # scikit-learn's spelling of no class weights.
        assert signature[argument].default == (None if argument == "class_weight" else expected), argument


def config(**arguments: Any) -> RunConfig:
    settings = arguments.pop("settings", ())
    return config_of(FOR_NUMBERS, {**arguments_of(FOR_NUMBERS, RunConfig()), **arguments}, settings, {})


def test_arguments_and_settings_reach_the_run() -> None:
    made = config(learning_rate=np.float64(2e-3), rank=np.int64(4), low=0, settings=["sampling.end=0.5"])
    assert (made.train.learning_rate, made.peft.rank, made.space.low, made.sampling.end) == (2e-3, 4, 0.0, 0.5)
    assert config() == RunConfig()


def test_a_profile_lies_under_arguments_that_were_not_given() -> None:
    assert config(settings=["profile=released"]).sampling.mode == "batch"
    assert config(settings=["profile=released"], loss="sum").loss == "sum"


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("train.epochs=2", "there is the argument epochs"),
        ("train.seed=2", "there is the argument random_state"),
        ("out=runs/x", r"save\(folder\) keeps it"),
        ("data.dev=dev.csv", "as eval_set"),
        ("train={epochs: 2}", r"a whole group.*train.epochs"),
        ("sampling.edn=1", "did you mean 'end'"),
        ("sampling.end", "no '='"),
    ],
)
def test_settings_that_are_not_to_be_had_there(assignment: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config(settings=[assignment])


def test_settings_of_a_run_become_arguments_again() -> None:
    made = load_config(
        assignments=["train.epochs=2", "sampling.end=0.5", "director.kind=value", "data.max_rows=9", "out=x"]
    )
    besides = settings_besides(FOR_NUMBERS, made)
    assert besides == ["data.max_rows=9", "sampling.end=0.5", "director.kind=value"]
    again = config_of(FOR_NUMBERS, arguments_of(FOR_NUMBERS, made), besides, {"out": "x"})
    assert again == made


def test_clones_and_parameters() -> None:
    made = PredGenClassifier(learning_rate=2e-3, settings=["sampling.end=0.5"], class_weight={1: 2.0})
    copy = clone(made).set_params(epochs=1)
    assert copy.get_params() == {**made.get_params(), "epochs": 1}
