"""A task by its name alone: fitted, scored, and read again without the folder of data."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from predgen.cli import app
from predgen.data.tasks import TASKS
from predgen.errors import PredgenError

FAST = ["--set", "train.max_steps=3", "--set", "train.evaluations=1", "--set", "train.learning_rate=0.01"]


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, PredgenError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    obqa = TASKS["obqa"]
    for name, count in (("train", 24), ("validation", 8), ("test", 10)):
        rows = [
            obqa.sample | {"question_stem": f"{name} {number}: a plant turns to", "label": number % 4}
            for number in range(count)
        ]
        file = root / "obqa" / f"{name}.jsonl.gz"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    return root


def test_a_task_is_fitted_and_scored_by_its_name(root: Path, workshop: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    said = call("fit", "openbookqa", "--data-root", root, "--model", workshop / "base", "--out", run, *FAST)
    assert "24 to train on, 8 dev" in said and "10 test" in said and "4 labels ('A' ×6, 'B' ×6" in said
    # The bare name stands for the split that is reported.
    call("evaluate", run, "obqa", "--data-root", root, "--json", tmp_path / "metrics.json")
    metrics = json.loads((run / "metrics.json").read_text())["test"]
    scored = json.loads((tmp_path / "metrics.json").read_text())
    assert scored["rows"] == 10 and scored["decisions"] == metrics["decisions"]
    call("predict", run, "obqa/test", "--data-root", root, "--out", tmp_path / "p.jsonl")
    # A report finds the rows of all parts where they were.
    call("report", run, "--maps", 0, "--resamples", 100, "--out", tmp_path / "report.html")
    assert "not at hand" not in (tmp_path / "report.html").read_text()
    predictions = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert len(predictions) == 10 and {each["prediction"] for each in predictions} <= set("ABCD")


def test_new_rows_in_the_datas_own_form_need_no_folder(root: Path, workshop: Path, tmp_path: Path) -> None:
    run, rows = tmp_path / "run", tmp_path / "rows.jsonl"
    call("fit", "obqa", "--data-root", root, "--model", workshop / "base", "--out", run, *FAST)
    moved = tmp_path / "moved"
    run.rename(moved)
    sample = TASKS["obqa"].sample
    rows.write_text("\n".join(json.dumps(sample | {"label": label}) for label in (0, "1", "C", 3.0)))
    call("evaluate", moved, rows, "--json", tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text())["rows"] == 4
    rows.write_text(json.dumps(sample | {"label": 7}))
    with pytest.raises(PredgenError, match=r"data\.label_names does not name, first row 0: '7'"):
        call("evaluate", moved, rows)


def test_the_list_counts_the_rows_that_are_there(root: Path) -> None:
    assert "predgen fit NAME trains on it" in call("tasks", "--data-root", root)
    assert "train 24, validation 8, test 10" in call("tasks", "obqa", "--data-root", root)
    assert "train 4,957" in call("tasks", "obqa")
