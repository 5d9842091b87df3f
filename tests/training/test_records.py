from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import predgen
from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.compare import compare
from predgen.config_reading import load_config
from predgen.decoding.options import PredictOptions
from predgen.errors import ConfigError, RunFolderError
from predgen.evaluate import evaluate_source
from predgen.loading import load, load_single
from predgen.prediction import LabelsPrediction, RecordPrediction, RowError
from predgen.record_run import RecordRun
from predgen.training.fit import Fitted, fit

METHODS = ["predgen", "generator", "predictor"]


@pytest.fixture(scope="session")
def tagged(workshop: Path, rows: list[dict[str, Any]]) -> Path:
    """The workshop's rows with a list of labels each."""
    path = workshop / "tagged.jsonl"
    tags = [
        {**row, "tags": [tag for tag in ("good", "not", "very", "film") if tag in str(row["text"])]} for row in rows
    ]
    path.write_text("\n".join(map(json.dumps, tags)))
    return path


@pytest.fixture(scope="session")
def several(workshop: Path, tagged: Path) -> Callable[..., Fitted]:
    """Fits a record of label and rating, or the labels, once a session for the same request."""
    made: dict[tuple[str, ...], Fitted] = {}

    def make(method: str, kind: str, *assignments: str) -> Fitted:
        key = (method, kind, *assignments)
        if key not in made:
            target = "[label, rating]" if kind == "record" else "tags"
            config = load_config(
                assignments=[
                    f"method={method}", f"data.source={tagged}", f"data.target={target}", "data.text=text",
                    "data.dev_size=8", "data.test_size=10", f"model.name={workshop / 'base'}",
                    f"out={workshop / f'{kind}-{len(made)}'}", "train.max_steps=12", "train.batch_size=5",
                    "train.evaluations=3", "train.learning_rate=0.01", *assignments,
                ]
            )  # fmt: skip
            made[key] = fit(config, say=lambda line: None)
        return made[key]

    return make


@pytest.mark.parametrize("kind", ["record", "multilabel"])
@pytest.mark.parametrize("method", METHODS)
def test_fit_save_load_predict(several: Callable[..., Fitted], tagged: Path, method: str, kind: str) -> None:
    made = several(method, kind)
    assert isinstance(made.run, RecordRun)
    again = load(made.folder)
    assert isinstance(again, RecordRun)
    texts = ["The film 3 was good", "The film 4 was not good"]
    for one, other in zip(made.run.predict(texts), again.predict(texts), strict=True):
        assert type(one) is type(other) is (RecordPrediction if kind == "record" else LabelsPrediction)
        assert one.prediction == other.prediction
    assert {path.name for path in made.folder.iterdir()} >= {"predgen.json", "README.md", "figures", "metrics.json"}
    assert "checkpoints" not in {path.name for path in made.folder.iterdir()}
    evaluated = evaluate_source(made.folder, lambda: again, str(tagged), "auto", lambda line: None, lambda rows: None)
    stored = made.metrics["test"]
    assert evaluated.rows == stored["rows"] == 10
    assert evaluated.value == pytest.approx(stored["value"], abs=1e-6)


def test_a_record_predicts_a_value_and_its_probabilities_a_field(several: Callable[..., Fitted]) -> None:
    run = several("predgen", "record").run
    (prediction, error) = run.predict([{"text": "The film 3 was good"}, {"text": ""}])
    assert isinstance(prediction, RecordPrediction) and isinstance(error, RowError)
    assert set(prediction.prediction) == {"label", "rating"}
    assert prediction.prediction["label"] in ("good", "bad")
    assert sum(prediction.fields["label"]["probabilities"].values()) == pytest.approx(1)
    low, high = prediction.fields["rating"]["interval"]
    assert low <= prediction.prediction["rating"] <= high
    proba = run.predict_proba(["The film 3 was good"])
    assert proba["label"].shape == (1, 2) and proba["rating"].sum() == pytest.approx(1)


def test_a_field_alone_is_a_run(several: Callable[..., Fitted]) -> None:
    run = several("predgen", "record").run
    texts = ["The film 3 was good", "The film 9 was terrible"]
    together = run.predict(texts)
    for name, part in run.runs.items():
        for whole, alone in zip(together, part.predict(texts), strict=True):
            assert whole.prediction[name] == pytest.approx(alone.prediction, abs=1e-5)


def test_labels_are_chosen_by_probability_or_by_thresholds(several: Callable[..., Fitted]) -> None:
    run = several("generator", "multilabel").run
    text = ["The film 3 was good"]
    (plain,) = run.predict(text, PredictOptions(decision="mode"))
    assert plain.prediction == tuple(name for name, share in plain.probabilities.items() if share > 0.5)
    (all_of,) = run.predict(text, PredictOptions(thresholds=dict.fromkeys(run.runs, 0.0)))
    assert all_of.prediction == tuple(run.runs)
    (none,) = run.predict(text, PredictOptions(thresholds=dict.fromkeys(run.runs, 1.0)))
    assert none.prediction == ()


def test_labels_share_one_decision_and_the_metric_chose_it(several: Callable[..., Fitted]) -> None:
    made = several("predgen", "multilabel")
    record = made.run.record
    assert len({field.decision for field in record.fields}) == 1
    dev = made.metrics["dev"]
    assert dev["value"] == max(values["micro_f1"] for values in dev["decisions"].values())


def test_a_wrong_question_is_refused(several: Callable[..., Fitted]) -> None:
    record, labels = several("predgen", "record").run, several("predgen", "multilabel").run
    for run, options, words in (
        (record, PredictOptions(thresholds={"good": 0.5}), "one field's matter"),
        (record, PredictOptions(quantiles=(2.0,)), "out of range"),
        (labels, PredictOptions(thresholds={"godo": 0.5}), "did you mean 'good'"),
        (labels, PredictOptions(top=2), "by decision and by thresholds alone"),
        (labels, PredictOptions(decision="mean"), "no decision 'mean'"),
    ):
        with pytest.raises(ConfigError, match=words):
            run.predict(["The film 3 was good"], options)
    (prediction,) = record.predict(["The film 3 was good"], PredictOptions(top=1, quantiles=(0.5,)))
    assert len(prediction.fields["label"]["probabilities"]) == 1
    assert set(prediction.fields["rating"]["quantiles"]) == {"0.5"}


def test_one_answer_is_asked_for_where_one_is_needed(several: Callable[..., Fitted]) -> None:
    with pytest.raises(RunFolderError, match="several answers: 'label', 'rating'"):
        load_single(several("predgen", "record").folder)


def test_runs_with_several_answers_are_compared(several: Callable[..., Fitted], tagged: Path) -> None:
    for kind in ("record", "multilabel"):
        folders = [several(method, kind).folder for method in ("generator", "predictor")]
        compared = compare(folders, load, str(tagged), resamples=20)
        assert compared.metric == ("skill" if kind == "record" else "micro_f1") and compared.rows == 10
        for folder, result in zip(folders, compared.runs, strict=True):
            stored = json.loads((folder / "metrics.json").read_text())["test"]["value"]
            assert result.value == pytest.approx(stored, abs=1e-6)


def test_resolved_settings_repeat_the_run(several: Callable[..., Fitted], tmp_path: Path) -> None:
    for kind in ("record", "multilabel"):
        made = several("generator", kind)
        again = fit(load_config(made.folder / "config.yaml", [f"out={tmp_path / kind}"]), say=lambda line: None)
        assert again.metrics["test"]["value"] == pytest.approx(made.metrics["test"]["value"], abs=1e-6)
        assert again.run.record.config["fields"] == made.run.record.config["fields"]


def test_a_record_goes_on_from_another(several: Callable[..., Fitted], tmp_path: Path, tagged: Path) -> None:
    from predgen.training.run_folder import settings_to_continue

    made = several("predgen", "record")
    config = load_config(
        assignments=[f"data.source={tagged}", f"out={tmp_path / 'more'}", "train.max_steps=2"],
        under=settings_to_continue(made.folder),
    )
    more = fit(config, say=lambda line: None, start_from=made.folder)
    assert [type(part.space) for part in more.run.runs.values()] == [LabelSet, NumberGrid]


def test_fields_have_settings_of_their_own(several: Callable[..., Fitted]) -> None:
    made = several(
        "predgen", "record", "fields.rating.space.low=-4", "fields.rating.space.high=4", "fields.rating.director=value"
    )
    space = made.run.runs["rating"].space
    assert isinstance(space, NumberGrid) and (space.low, space.high) == (-4, 4)
    assert made.run.runs["rating"].reader_name == "director"
    assert made.run.record.config["fields"]["label"]["director"] == "class"
    with pytest.raises(ConfigError, match=r"director 'ordered' does not read a classification"):
        several("predgen", "record", "director.kind=ordered")
    with pytest.raises(ConfigError, match="several answers to a row"):
        several("predgen", "record", "writer.loss_over=all")
    with pytest.raises(ConfigError, match="'mae' is no metric of a record run"):
        several("predgen", "record", "train.metric=mae")


def test_rows_in_any_batch_give_the_same_answers(several: Callable[..., Fitted], rows: list[dict[str, Any]]) -> None:
    run = several("predgen", "record").run
    bodies = [str(row["text"]) for row in rows[:9]]
    together = run.score_answers(bodies)
    for number, body in enumerate(bodies):
        for whole, alone in zip(together, run.score_answers([body]), strict=True):
            torch.testing.assert_close(whole.log_posterior[number], alone.log_posterior[0], rtol=0, atol=1e-4)


def test_public_names() -> None:
    assert predgen.load is load and predgen.RecordRun is RecordRun
