"""Numbers that no list holds, and worked solutions, from rows to a run folder and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import predgen
from predgen.answers.free_number import FreeNumber
from predgen.cli import app
from predgen.compare import compare
from predgen.config_reading import load_config
from predgen.errors import ConfigError, DataError
from predgen.prediction import NumberPrediction, to_json
from predgen.run import Run
from predgen.training.fit import Fitted, fit

METHODS = ("predgen", "generator", "predictor")


def sums(count: int = 40) -> list[dict[str, object]]:
    rows = []
    for number in range(count):
        one, other = 3 + number % 7, 10 ** (number % 6)
        total = one * other
        rows.append(
            {
                "question": f"What is {one} times {other} in {number}?",
                "answer": f"{one} x {other} = {total}\n#### {total:,}",
                "result": total,
            }
        )
    return rows


@pytest.fixture(scope="session")
def solved(workshop: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Fitted]:
    folder = tmp_path_factory.mktemp("sums")
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, sums())))
    made: dict[tuple[str, ...], Fitted] = {}

    def make(method: str, target: str, *assignments: str) -> Fitted:
        key = (method, target, *assignments)
        if key not in made:
            config = load_config(
                assignments=[
                    f"method={method}",
                    f"data.source={folder / 'sums.jsonl'}",
                    f"data.target={target}",
                    "data.text=question",
                    "data.dev_size=6",
                    "data.test_size=6",
                    f"model.name={workshop / 'base'}",
                    f"out={folder / str(len(made))}",
                    "train.max_steps=4",
                    "train.batch_size=5",
                    "train.evaluations=2",
                    *assignments,
                ]
            )
            made[key] = fit(config, say=lambda line: None)
        return made[key]

    return make


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", ["answer", "result"])
def test_every_method_fits_and_reloads(solved: Callable[..., Fitted], method: str, target: str) -> None:
    fitted = solved(method, target)
    space = fitted.run.space
    assert isinstance(space, FreeNumber)
    assert (space.marker, space.decimals, space.negative) == ("####" if target == "answer" else None, 0, False)
    texts = ["What is 3 times 10 in 4?", "What is 9 times 1000?"]
    predictions = fitted.run.predict(texts)
    assert predgen.load(fitted.folder).predict(texts) == predictions
    for prediction in predictions:
        assert isinstance(prediction, NumberPrediction)
        assert prediction.prediction == round(prediction.prediction) and 0 <= prediction.prediction <= space.largest
        assert prediction.interval[0] <= prediction.prediction <= prediction.interval[1]
        if method == "predictor":
            assert prediction.text is None and "text" not in to_json(prediction)
        else:
            assert space.parse(prediction.text or "") is not None
    test = fitted.metrics["test"]
    assert (
        set(test["decisions"])
        == {"predgen": {"greedy", "director"}, "generator": {"greedy"}, "predictor": {"head"}}[method]
    )
    assert set(test["baseline"]) == {"mean", "median", "mode"}
    assert "exact_match" in test["baseline"]["mode"] and test["interval"].keys() == {"coverage", "width"}
    assert fitted.run.record.metric == "exact_match"


def test_the_solution_written_is_as_long_as_the_longest_seen(solved: Callable[..., Fitted]) -> None:
    fitted = solved("generator", "answer")
    longest = max(
        len(fitted.run.tokenizer(" " + str(row["answer"]).split("\n")[0], add_special_tokens=False)["input_ids"])
        for row in sums()
    )
    assert fitted.run.space.solution_tokens in range(longest - 1, longest + 1)  # the split may keep the longest back
    assert load_config(fitted.folder / "config.yaml").space.kind == "free"


@pytest.mark.parametrize(
    "assignments",
    [
        "sampling.mode=parallel director.kind=ordered",
        "sampling.mode=sequence sampling.own=sample director.kind=ntloss loss=sum",
        "sampling.own=free director.pooling=last director.history=own",
        "profile=released",
        "train.gradient_checkpointing=true",
    ],
)
@pytest.mark.parametrize("target", ["answer", "result"])
def test_the_methods_parts_take_free_numbers(solved: Callable[..., Fitted], target: str, assignments: str) -> None:
    fitted = solved("predgen", target, "train.max_steps=2", "train.evaluations=1", *assignments.split())
    texts = ["What is 3 times 10 in 4?"]
    assert predgen.load(fitted.folder).predict(texts) == fitted.run.predict(texts)


@pytest.mark.parametrize(
    "setting", ["director.kind=expected", "director.kind=crps", "writer.normalise=space", "prompt.long=windows"]
)
def test_what_needs_a_list_is_refused(solved: Callable[..., Fitted], setting: str) -> None:
    with pytest.raises(ConfigError, match="needs a list of all answers"):
        solved("predgen", "result", setting)


def test_evaluate_compare_and_show_read_solutions(solved: Callable[..., Fitted], tmp_path: Path) -> None:
    folders = [solved(method, "answer").folder for method in ("predgen", "predictor")]
    rows = tmp_path / "new.jsonl"
    rows.write_text("\n".join(json.dumps(row | {"question": row["question"] + " now"}) for row in sums(12)))
    run = CliRunner().invoke(app, ["evaluate", str(folders[0]), str(rows), "--json", str(tmp_path / "m.json")])
    assert run.exit_code == 0, run.output
    assert set(json.loads((tmp_path / "m.json").read_text())["decisions"]) == {"greedy", "director"}
    loaded: dict[Path, Run] = {folder: predgen.load(folder) for folder in folders}
    found = compare(folders, lambda folder: loaded[folder], str(rows), resamples=20)
    assert found.metric == "exact_match" and found.rows == 12
    shown = CliRunner().invoke(app, ["show", str(folders[0])])
    assert "behind a solution of up to" in shown.output


def test_a_solution_without_its_number_is_named(solved: Callable[..., Fitted], tmp_path: Path) -> None:
    rows = sums()
    rows[7]["answer"] = "I do not know"
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=r"row 7: 'I do not know'.*behind '####'"):
        solved("generator", "answer", f"data.source={tmp_path / 'rows.jsonl'}")
