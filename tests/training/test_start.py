from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from predgen.config import RunConfig
from predgen.config_reading import with_settings
from predgen.errors import ConfigError
from predgen.training.run_folder import FORMAT_VERSION, RECORD, settings_to_continue
from predgen.training.start import continued


def finished(folder: Path, **settings: object) -> RunConfig:
    config = with_settings(RunConfig(), {"data.source": "old.csv", "data.template": "{text}", **settings})
    record = {"format_version": FORMAT_VERSION, "config": config.to_dict()}
    (folder / RECORD).write_text(json.dumps(record))
    return config


def test_what_says_how_answers_are_read_goes_along(tmp_path: Path) -> None:
    before = finished(tmp_path, **{"data.label_names": {"0": "bad", "1": "good"}, "data.options": ["a", "b"]})
    asked = with_settings(RunConfig(), {**settings_to_continue(tmp_path), "data.source": "new.csv"})
    config = continued(asked, tmp_path, lambda line: None)
    assert config.data == dataclasses.replace(before.data, source="new.csv")
    named = with_settings(asked, {"data.label_names": {"poor": "bad", "fine": "good"}})
    assert continued(named, tmp_path, lambda line: None).data.label_names == {"poor": "bad", "fine": "good"}


def test_settings_that_make_another_method_are_named(tmp_path: Path) -> None:
    finished(tmp_path)
    with pytest.raises(ConfigError, match="method: 'predgen' → 'generator'"):
        continued(with_settings(RunConfig(), {"method": "generator"}), tmp_path, lambda line: None)
