from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from predgen.cli import app
from predgen.errors import ConfigError
from predgen.information.answers import said_without
from predgen.information.layout import Layout
from predgen.information.one_answer import one_answer
from predgen.information.representations import extract, kind_of, layer_count
from predgen.information.token_map import explain, prompt_of
from predgen.loading import load
from predgen.record_run import RecordRun

TEXT = "The film 7 was not good, simply terrible"
METHODS = ("predgen", "generator", "predictor")
Several = Callable[[str, str], Path]


@pytest.mark.parametrize("method", METHODS)
def test_a_field_says_what_the_record_says(several: Several, method: str) -> None:
    record = load(several(method, "record"))
    assert isinstance(record, RecordRun)
    answer = one_answer(record, "label")
    prompted = prompt_of(answer.run, TEXT)
    assert "".join(word.text for word in prompted.words) == TEXT
    word = prompted.words[3]
    said = said_without(answer.run, prompted.ids, [(word.start, word.stop)])
    assert said.log_probs is not None
    # The whole text, through all fields at once, one of which is a director's or head's.
    scores = dict(zip(record.runs, record.score_answers([TEXT]), strict=True))["label"]
    logs = scores.log_posterior if scores.log_posterior is not None else scores.class_logits
    assert logs is not None
    np.testing.assert_allclose(said.log_probs[0], logs[0].log_softmax(dim=0), atol=2e-4)
    # Without the word: its tokens are taken out of the plain prompt, and the field's own method puts its cue behind.
    plain = record.runs["label"].encoder(TEXT).ids
    kept = torch.tensor([[*plain[: word.start], *plain[word.stop :]]])
    field = record.runs["label"]
    alone = field.calibration.apply(field.method.score(kept, torch.ones_like(kept)), field.space)  # type: ignore[operator]
    logs = alone.log_posterior if alone.log_posterior is not None else alone.class_logits
    assert logs is not None
    np.testing.assert_allclose(said.log_probs[1], logs[0].log_softmax(dim=0), atol=2e-4)


def test_maps_of_every_field(several: Several) -> None:
    record = load(several("predgen", "record"))
    rating = explain(one_answer(record, "rating").run, TEXT)
    assert rating.main.name == "expected value"
    assert any("rating:" in note for note in rating.notes)  # the cue that is not left out
    labels = load(several("generator", "multilabel"))
    made = explain(one_answer(labels, "good").run, TEXT)
    assert [column.name for column in made.columns] == ["divergence", "yes", "no"]
    assert explain(one_answer(labels, "bad").run, TEXT, "hidden").columns


def test_states_of_two_fields_are_not_taken_for_one_another(several: Several) -> None:
    folder = several("generator", "record")
    record = load(folder)
    states = {}
    for name in ("label", "rating"):
        answer = one_answer(record, name)
        kept = extract(answer.run, folder, [TEXT], Layout(2, 1), [layer_count(answer.run)], field=name)
        states[name] = kept.read(layer_count(answer.run), 1)[0]
        assert kind_of(answer.run) == "tokens"
    assert np.abs(states["label"] - states["rating"]).max() > 1e-3


def test_a_field_must_be_named_and_known(several: Several, run_folder: Callable[..., Path]) -> None:
    record = load(several("predgen", "record"))
    with pytest.raises(ConfigError, match=r"several answers: 'label', 'rating'.*--field"):
        one_answer(record, None)
    with pytest.raises(ConfigError, match=r"no field 'ratings'; it has 'label', 'rating'.*did you mean 'rating'"):
        one_answer(record, "ratings")
    single = load(run_folder("predgen", "label"))
    assert one_answer(single, "label").run is single
    with pytest.raises(ConfigError, match="gives one answer, 'label'"):
        one_answer(single, "rating")


def test_on_the_command_line(several: Several, shop: Path, tmp_path: Path) -> None:
    runner, folder = CliRunner(), str(several("generator", "record"))
    refused = runner.invoke(app, ["explain", folder, TEXT, "--out", str(tmp_path)])
    assert refused.exit_code != 0 and "Use --field NAME" in str(refused.exception or refused.output)
    out = ["--out", str(tmp_path), "--field", "rating"]
    assert runner.invoke(app, ["explain", folder, TEXT, *out, "--no-faithfulness"]).exit_code == 0
    assert "expected value" in (tmp_path / "explanation.html").read_text()
    rows, labels = str(shop / "rows.jsonl"), str(several("generator", "multilabel"))
    fast = ["--estimator", "probe", "--no-sweep", "--seeds", "1", "--components", "2"]
    assert runner.invoke(app, ["information", folder, rows, *out, *fast]).exit_code == 0
    numbers = json.loads((tmp_path / "information.json").read_text())
    assert "steps of 0.1" in numbers["cap"]
    out[-1] = "good"
    assert runner.invoke(app, ["information", labels, rows, *out, *fast]).exit_code == 0
    assert "2 classes" in json.loads((tmp_path / "information.json").read_text())["cap"]
