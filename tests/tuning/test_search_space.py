from __future__ import annotations

import optuna
import pytest

from predgen.config_reading import load_config, named_settings
from predgen.errors import ConfigError
from predgen.tuning.search_space import (
    DEFAULT,
    Dimension,
    as_they_stand,
    dimensions,
    read_dimension,
    suggested,
)


def test_what_is_set_is_not_searched() -> None:
    given = named_settings(None, ["peft.rank=4"], {"method": "generator", "task": None})
    assert given == {"peft.rank", "method"}
    assert [each.name for each in dimensions([], given)] == [
        "loss", "peft.method", "train.learning_rate", "train.epochs",
    ]  # fmt: skip
    assert "train.epochs" not in [each.name for each in dimensions([], {"train.max_steps"})]


def test_a_profile_sets_what_it_sets() -> None:
    assert {"loss", "profile", "sampling.mode"} <= named_settings(None, ["profile=released"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("peft.rank=4,8", Dimension("peft.rank", (4, 8))),
        ("train.learning_rate=1e-4,1e-3", Dimension("train.learning_rate", (1e-4, 1e-3))),
        ("train.epochs=1..4", Dimension("train.epochs", low=1, high=4, whole=True)),
        ("train.learning_rate = 1e-5..1e-3 log", Dimension("train.learning_rate", low=1e-5, high=1e-3, log=True)),
        ("peft.dropout=0.0..0.3", Dimension("peft.dropout", low=0.0, high=0.3)),
        ("director.kind=null,value", Dimension("director.kind", (None, "value"))),
    ],
)
def test_candidates_are_read(text: str, expected: Dimension) -> None:
    assert read_dimension(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("peft.rank", "cannot be read"),
        ("peft.rnak=1,2", r"no setting: did you mean 'peft.rank'"),
        ("peft.rank=8", "1 candidate"),
        ("train.epochs=4..1", "empty range"),
        ("train.epochs=0..1 log", "empty range"),
        ("peft.rank=4,many", "peft.rank"),
        ("train.epochs=1.2.3..4", "no numbers"),
    ],
)
def test_candidates_that_cannot_be(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_dimension(text)


def test_both_set_and_searched_is_refused() -> None:
    with pytest.raises(ConfigError, match="is set, and was to be searched"):
        dimensions(["peft.rank=4,8"], {"peft.rank"})
    with pytest.raises(ConfigError, match="set already"):
        dimensions([], {each.name for each in DEFAULT})


def test_only_what_matters_is_asked_for() -> None:
    config = load_config()
    study = optuna.create_study()
    study.enqueue_trial({"method": "generator", "peft.method": "dora", "train.epochs": 2})
    chosen = suggested(study.ask(), DEFAULT, config)
    assert "loss" not in chosen and chosen["method"] == "generator" and "peft.rank" in chosen
    ia3 = dimensions(["peft.method=ia3,full", "peft.rank=2,4"], {"method", "loss"})
    assert "peft.rank" not in suggested(optuna.create_study().ask(), ia3, config)


def test_the_settings_as_they_stand_are_a_trial_where_they_are_candidates() -> None:
    config = load_config(assignments=["peft.rank=4"])
    first = as_they_stand(DEFAULT, config)
    assert first is not None and first["peft.rank"] == 4 and first["train.learning_rate"] == 1e-3
    assert as_they_stand(DEFAULT, load_config(assignments=["peft.rank=5"])) is None
