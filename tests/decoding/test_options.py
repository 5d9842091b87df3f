from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from predgen.answers.spaces import LabelSet, NumberGrid, Space
from predgen.decoding.options import PredictOptions, check_options, interval_kind, read_costs, read_thresholds
from predgen.errors import ConfigError

LABELS = LabelSet(("ham", "spam", "a=b"))
GRID = NumberGrid(0, 5, 1)
POSTERIOR, HEAD = ("mean", "median", "mode", "greedy"), ("head",)


@pytest.mark.parametrize(
    ("space", "decisions", "options", "words"),
    [
        (LABELS, POSTERIOR, {"decision": "meen"}, "no decision 'meen'.*mean"),
        (LABELS, POSTERIOR, {"level": 1.0}, "level 1 is out of range"),
        (GRID, POSTERIOR, {"quantiles": (0.5, 0.0)}, "quantile 0 is out of range"),
        (LABELS, POSTERIOR, {"quantiles": (0.5,)}, "quantiles is for numbers"),
        (LABELS, POSTERIOR, {"interval": "highest"}, "interval is for numbers"),
        (GRID, POSTERIOR, {"top": 3}, "top is for labels"),
        (GRID, POSTERIOR, {"abstain_below": 0.0}, "abstain_below is for labels"),
        (LABELS, POSTERIOR, {"thresholds": {"spam": 0.5}, "costs": {}}, "Give one of them"),
        (LABELS, POSTERIOR, {"thresholds": {"spum": 0.5}}, "no label 'spum'.*spam"),
        (LABELS, POSTERIOR, {"thresholds": {"spam": 1.5}}, "1.5 of 'spam' is no probability"),
        (LABELS, POSTERIOR, {"thresholds": {"ham": 0.1, "spam": 0.2, "a=b": 0.3}}, "Leave one without"),
        (LABELS, POSTERIOR, {"costs": {"ham": {"spom": 1.0}}}, "no label 'spom'"),
        (LABELS, POSTERIOR, {"costs": {"ham": {"spam": float("nan")}}}, "not finite"),
        (LABELS, POSTERIOR, {"top": 0}, "likeliest 0"),
        (LABELS, POSTERIOR, {"abstain_below": 2.0}, "abstain_below=2"),
        (GRID, HEAD, {"quantiles": (0.5,)}, "has none: it is a predictor's"),
        (GRID, HEAD, {"interval": "central"}, "has none"),
    ],
)
def test_what_cannot_be_given_is_refused(
    space: Space, decisions: tuple[str, ...], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        check_options(PredictOptions(**options), space, decisions)


def test_what_can_be_given_is_not() -> None:
    check_options(PredictOptions(thresholds={"spam": 0.9}, top=2, abstain_below=0.5, level=0.8), LABELS, POSTERIOR)
    check_options(PredictOptions(decision="mode", quantiles=(0.1,), above=(9.0,), interval="highest"), GRID, POSTERIOR)
    check_options(PredictOptions(), GRID, HEAD)


def test_thresholds_are_read_with_equals_signs_in_labels() -> None:
    assert read_thresholds(["spam=0.9", "a=b=0.25"]) == {"spam": 0.9, "a=b": 0.25}
    for wrong in ("spam", "spam=", "=0.5", "spam=high"):
        with pytest.raises(ConfigError, match="Expected LABEL=P"):
            read_thresholds([wrong])


def test_costs_are_read_from_json(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    path.write_text('{"spam": {"ham": 5}}')
    assert read_costs(str(path)) == {"spam": {"ham": 5.0}}
    for wrong in ("[1]", '{"spam": 3}', '{"spam": {"ham": "dear"}}', "{"):
        path.write_text(wrong)
        with pytest.raises(ConfigError, match="cannot be read"):
            read_costs(str(path))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_costs(str(tmp_path / "none.json"))


def test_an_unknown_interval_is_refused() -> None:
    assert interval_kind("highest") == "highest"
    with pytest.raises(ConfigError, match="Unknown interval 'hdi'"):
        interval_kind("hdi")
