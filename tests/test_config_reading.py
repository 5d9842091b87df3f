from __future__ import annotations

from pathlib import Path

import pytest

from predgen.config import RunConfig
from predgen.config_reading import config_from_dict, load_config
from predgen.errors import ConfigError
from predgen.profiles import PROFILES


def test_yaml_and_back(tmp_path: Path) -> None:
    config = load_config(assignments=["space.labels=[a, b]", "train.learning_rate=3e-4", "method=generator"])
    assert config.train.learning_rate == 3e-4
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert load_config(path) == config != RunConfig()
    assert config_from_dict(config.to_dict()) == config


def test_the_later_wins(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("method: generator\ntrain:\n  epochs: 5\n  seed: 1\n")
    config = load_config(path, ["train.epochs=6", "train.seed=2"], {"train.seed": 3, "train.epochs": None})
    assert (config.method, config.train.epochs, config.train.seed) == ("generator", 6.0, 3)


def test_all_problems_come_at_once_and_name_what_is_known() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(assignments=["train.epoch=3", "peft.rank=0", "trian.seed=1", "sampling.mode=coin"])
    message = str(caught.value)
    assert "4 problem(s)" in message
    assert "train.epoch: unknown key; did you mean 'epochs'" in message
    assert "trian: unknown key; did you mean 'train'" in message
    assert "peft.rank: Input should be greater than 0; found 0" in message
    assert "sampling.mode: Input should be 'token', 'sequence'" in message


def test_a_profile_lies_under_everything_that_is_set() -> None:
    config = load_config(assignments=["profile=released", "sampling.mode=token"])
    assert (config.sampling.mode, config.sampling.own, config.loss_of) == ("token", "free", "batch")
    for name in PROFILES:
        load_config(assignments=[f"profile={name}"])
    with pytest.raises(ConfigError, match=r"Unknown profile 'relased'.*did you mean 'released'"):
        load_config(assignments=["profile=relased"])


@pytest.mark.parametrize(("content", "words"), [("a: [", "is not YAML"), ("- 1", "holds a list")])
def test_files_that_are_no_settings(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=words):
        load_config(path)


def test_labels_that_yaml_reads_as_numbers_are_labels() -> None:
    config = load_config(assignments=["space.labels=[1, 2.0, three]", "train.class_weights={1: 3, three: 1}"])
    assert config.space.labels == ("1", "2", "three")
    assert config.train.class_weights == {"1": 3.0, "three": 1.0}
    with pytest.raises(ConfigError, match=r"space.labels.0: Input should be a valid string; found True"):
        load_config(assignments=["space.labels=[yes, no]"])  # a column may well say "yes"
