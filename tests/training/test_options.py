"""Rows that are answered by one of their own options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import predgen
from predgen.cli import app
from predgen.config_reading import load_config
from predgen.errors import ConfigError, DataError, ModelError
from predgen.evaluate import evaluate_source
from predgen.information.token_map import explain
from predgen.loading import load, load_single
from predgen.prediction import LabelPrediction, RowError
from predgen.training.fit import Fitted, fit

FRUIT, STONE = ("an apple", "a ripe pear", "plums"), ("a grey stone", "flint", "slate and sand")


def rows(count: int = 30) -> list[dict[str, object]]:
    """Which of two or three things one can eat: what is right is known by its words, and stands anywhere."""
    made = []
    for number in range(count):
        right, place = FRUIT[number % 3], number % 2
        options = [STONE[number % 3], STONE[(number + 1) % 3]][: 1 + number % 2]
        options.insert(place, right)
        made.append({"question": f"What can one eat, {number}?", "choices": options, "label": place})
    return made


@pytest.fixture(scope="module")
def assignments(workshop: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    file = tmp_path_factory.mktemp("options") / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows())))
    return [
        f"data.source={file}",
        "data.text=question",
        "data.target=label",
        "data.options=choices",
        "data.label_names={0: A, 1: B, 2: C}",
        "space.labels=[A, B, C]",
        "data.dev_size=6",
        "data.test_size=6",
        "method=generator",
        f"model.name={workshop / 'base'}",
        "train.learning_rate=0.01",
        "train.batch_size=6",
        "train.evaluations=1",
    ]


@pytest.fixture(scope="module")
def fitted(assignments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    out = tmp_path_factory.mktemp("run")
    config = load_config(
        assignments=[*assignments, "space.style=continuations", f"out={out / 'run'}", "train.max_steps=40"]
    )
    return fit(config, say=lambda line: None)


def test_what_options_say_is_learned_wherever_they_stand(fitted: Fitted) -> None:
    assert fitted.metrics["test"]["decisions"]["mode"]["accuracy"] == 1.0
    assert fitted.metrics["test"]["outside_space"] is None


def test_a_loaded_run_predicts_labels_of_new_options(fitted: Fitted) -> None:
    run = load(fitted.folder)
    new = [
        {"question": "What can one eat?", "choices": ["slate and sand", "an apple"]},
        {"question": "What can one eat?", "choices": ["plums", "flint", "a grey stone"]},
        {"question": "What can one eat?", "choices": ["plums"]},
        {"question": "What can one eat?"},
    ]
    first, second, *errors = run.predict(new)
    assert isinstance(first, LabelPrediction) and isinstance(second, LabelPrediction)
    assert (first.prediction, second.prediction) == ("B", "A")
    assert first.probabilities["C"] < 1e-6 and sum(first.probabilities.values()) == pytest.approx(1)
    assert [isinstance(each, RowError) for each in errors] == [True, True]
    assert "has the options ['plums']" in errors[0].error and "no column 'choices'" in errors[1].error
    alone, *_ = run.predict(new[1:2])
    assert isinstance(alone, LabelPrediction)
    assert alone.probabilities == pytest.approx(second.probabilities, abs=1e-5)


def test_a_table_without_options_is_refused_before_anything_is_loaded(fitted: Fitted, tmp_path: Path) -> None:
    (tmp_path / "new.jsonl").write_text(json.dumps({"question": "What can one eat?"}))
    arguments = ["predict", str(fitted.folder), str(tmp_path / "new.jsonl"), "--out", str(tmp_path / "p.jsonl")]
    problem = CliRunner().invoke(app, arguments).exception
    assert isinstance(problem, DataError) and "no column 'choices', which this run reads" in str(problem)


def test_a_report_goes_without_maps_of_words(fitted: Fitted, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    result = CliRunner().invoke(app, ["report", str(fitted.folder), "--resamples", "100", "--out", str(page)])
    assert result.exit_code == 0 and page.exists(), (result.output, result.exception)


def test_scores_are_those_of_fit(fitted: Fitted) -> None:
    source = fitted.run.record.config["data"]["source"]  # type: ignore[union-attr]
    again = evaluate_source(
        fitted.folder, lambda: load(fitted.folder), source, "auto", lambda line: None, lambda count: None
    ).to_json()
    assert again["decisions"] == fitted.metrics["test"]["decisions"]


def test_what_needs_shared_answers_is_refused(assignments: list[str], fitted: Fitted, tmp_path: Path) -> None:
    for extra, message in (
        ("method=predgen", "method=predgen does not go with space.style=texts"),
        ("method=predictor", "method=predictor does not go"),
        ("writer.normalise=space", "writer.normalise=space does not go"),
        ("prompt.long=windows", "prompt.long=windows does not go"),
    ):
        config = load_config(assignments=[*assignments, "space.style=texts", extra, f"out={tmp_path / 'r'}"])
        with pytest.raises(ConfigError, match=message):
            fit(config, say=lambda line: None)
    config = load_config(assignments=[*assignments, "space.style=texts", "data.options=null"])
    with pytest.raises(DataError, match=r"Name their columns with data\.options"):
        fit(config, say=lambda line: None)
    run = load_single(fitted.folder)
    with pytest.raises(ConfigError, match="each row's own options"):
        explain(run, rows(1)[0], "occlusion")
    with pytest.raises(ModelError, match="none were given with the prompts"):
        run.score(["What can one eat?"])


def test_a_label_without_an_option_is_refused(assignments: list[str], tmp_path: Path) -> None:
    bad = rows()
    bad[3] = {"question": "What can one eat, 3?", "choices": ["a", "b"], "label": 2}
    config = load_config(assignments=[*assignments, "space.style=texts", f"out={tmp_path / 'r'}"])
    with pytest.raises(DataError, match=r"Row 3 of the .* rows is answered 'C', and has 2 options"):
        predgen.fit(config, data=bad, say=lambda line: None)


def test_a_task_has_a_prompt_for_each_style() -> None:
    letters, texts, scored = (
        load_config(assignments=["data.source=obqa", f"space.style={style}"])
        for style in ("labels", "texts", "continuations")
    )
    assert letters.data.template == texts.data.template == "Question: {question_stem}\n{choices}"
    assert scored.data.template == "Question: {question_stem}" and scored.data.options == ("choices",)
    assert load_config(assignments=["data.source=hellaswag", "space.style=continuations"]).prompt.cue == ""
