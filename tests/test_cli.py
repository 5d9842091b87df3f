from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from typer.testing import CliRunner, Result

from predgen.cli import app
from predgen.errors import Interrupted, PredgenError

WORDS = ("good", "bad", "very good", "terrible")
FAST = ["--set", "train.max_steps=4", "--set", "train.evaluations=1", "--set", "train.learning_rate=0.01"]


def call(*arguments: object) -> Result:
    """Runs a command in this process; an error of ours comes out as it is."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, PredgenError):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory, _llama_once: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> Path:
    """A tiny base, a csv of rows, and two fitted runs."""
    folder = tmp_path_factory.mktemp("shop")
    _llama_once.save_pretrained(folder / "base")
    byte_level.save_pretrained(folder / "base")
    lines = ["text,label,rating"]
    for n in range(40):
        lines.append(f"The film {n} was {WORDS[n % 4]},{('good', 'bad')[n % 2]},{(-1) ** n * (n % 5) / 2}")
    (folder / "rows.csv").write_text("\n".join(lines))
    (folder / "other.csv").write_text("txet,n\na good film,1\n")
    for target in ("label", "rating"):
        result = call(
            "fit", folder / "rows.csv", "--text", "text", "--target", target, "--model", folder / "base",
            "--out", folder / target, *FAST,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
    return folder


def test_fit_says_what_it_decided_and_why(shop: Path, tmp_path: Path) -> None:
    result = call(
        "fit", shop / "rows.csv", "--target", "label", "--model", shop / "base", "--out", tmp_path / "r", *FAST
    )
    for words in (
        "Text: column 'text', by its name.",
        "Task: classification, since the target is text (2 classes).",
        "Answers: 2 labels ('good' ×20, 'bad' ×20).",
        "Rows: 32 to train on, 4 dev",
        "Best on dev: accuracy",
        "constant: majority",
    ):
        assert words in result.output


def test_a_template_over_several_columns(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    call("fit", shop / "rows.csv", "--template", "Film: {text}\\nRated: {rating}", "--target", "label",
         "--method", "predictor", "--model", shop / "base", "--out", out, *FAST)  # fmt: skip
    assert json.loads((out / "predgen.json").read_text())["template"] == "Film: {text}\nRated: {rating}"


def test_predict_writes_a_line_a_row_and_keeps_bad_rows_in_place(shop: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "new.jsonl", tmp_path / "deep" / "out.jsonl"
    data.write_text('{"text": "a good film"}\nnot json\n{"text": ""}\n{"other": 1}\n{"text": "bad"}\n')
    result = call("predict", shop / "label", data, "--out", out)
    assert "2 predictions, 3 rows with an error" in result.output
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["row"] for line in lines] == [0, 1, 2, 3, 4]
    assert [sorted(line) for line in lines] == [
        ["prediction", "probabilities", "row", "set"],
        ["error", "row"],
        ["error", "row"],
        ["error", "row"],
        ["prediction", "probabilities", "row", "set"],
    ]
    assert lines[0]["prediction"] in lines[0]["probabilities"]
    assert "line 2 is not JSON" in lines[1]["error"]
    assert not list(out.parent.glob("*.part"))


def test_predict_decides_as_it_is_asked_to(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    call("predict", shop / "label", shop / "rows.csv", "--out", out, "--threshold", "good=0", "--top", "1")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["prediction"] for line in lines} == {"good"}
    assert {len(line["probabilities"]) for line in lines} == {1}
    call("predict", shop / "label", shop / "rows.csv", "--out", out, "--abstain-below", "1")
    assert json.loads(out.read_text().splitlines()[0])["prediction"] is None
    call("predict", shop / "rating", shop / "rows.csv", "--out", out, "--decision", "mode", "--interval", "highest",
         "--level", "0.5", "--quantile", "0.25", "--above", "0", "--above", "1")  # fmt: skip
    line = json.loads(out.read_text().splitlines()[0])
    assert line["interval"][0] <= line["prediction"] <= line["interval"][1]
    assert line["quantiles"].keys() == {"0.25"}
    assert 0 <= line["above"]["1"] <= line["above"]["0"] <= 1


def test_predict_goes_on_where_it_was_stopped(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from predgen.run import Run

    data, out, whole = tmp_path / "long.csv", tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    data.write_text("text\n" + "".join(f"row {number}\n" if number % 7 else '""\n' for number in range(2500)))
    call("predict", shop / "label", data, "--out", whole)
    score, calls = Run.score, []

    def stopped(self: Run, *arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return score(self, *arguments)

    monkeypatch.setattr(Run, "score", stopped)
    with pytest.raises(Interrupted, match="1024 rows are kept"):
        call("predict", shop / "label", data, "--out", out)
    assert not out.exists()
    with pytest.raises(PredgenError, match="Go on with --resume"):
        call("predict", shop / "label", data, "--out", out)
    with pytest.raises(PredgenError, match="changed: options"):
        call("predict", shop / "label", data, "--out", out, "--top", "1", "--resume")
    result = call("predict", shop / "label", data, "--out", out, "--resume")
    assert "Going on behind 1024 rows" in result.output and len(calls) == 4
    assert out.read_bytes() == whole.read_bytes()


def test_predicted_numbers_carry_mean_median_and_interval(shop: Path, tmp_path: Path) -> None:
    call("predict", shop / "rating", shop / "rows.csv", "--out", tmp_path / "out.jsonl")
    line = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[7])
    assert list(line) == ["row", "prediction", "mean", "median", "interval"]
    assert line["row"] == 7
    assert line["interval"][0] <= line["prediction"] <= line["interval"][1]


def test_evaluate_takes_the_test_rows_of_the_runs_own_data(shop: Path, tmp_path: Path) -> None:
    result = call("evaluate", shop / "rating", shop / "rows.csv", "--json", tmp_path / "m.json")
    assert "its 4 test rows of 40 are scored" in result.output
    metrics = json.loads((tmp_path / "m.json").read_text())
    stored = json.loads((shop / "rating" / "metrics.json").read_text())["test"]
    assert metrics["rows"] == 4
    assert metrics["decisions"].keys() == stored["decisions"].keys()
    for name, values in metrics["decisions"].items():
        assert values["mae"] == pytest.approx(stored["decisions"][name]["mae"], abs=1e-5)
    assert set(metrics["baseline"]) == {"mean", "median"}
    assert 0 <= metrics["outside_space"] <= 1


def test_evaluate_scores_all_of_other_data_and_warns_of_its_own(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("text,label\nbad film,bad\ngood one,good\n")
    call("evaluate", shop / "label", tmp_path / "other.csv", "--json", tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text())["rows"] == 2
    assert "optimistic" in call("evaluate", shop / "label", shop / "rows.csv", "--split", "all").output
    with pytest.raises(PredgenError, match="is not the data that this run was fitted on"):
        call("evaluate", shop / "label", tmp_path / "other.csv", "--split", "dev")
    (tmp_path / "odd.csv").write_text("text,label\nbad film,awful\n")
    with pytest.raises(PredgenError, match="1 rows have a label that this run does not know, first row 0: 'awful'"):
        call("evaluate", shop / "label", tmp_path / "odd.csv")
    (tmp_path / "none.csv").write_text("text,lable\nbad film,bad\n")
    with pytest.raises(PredgenError, match="no column 'label', which holds this run's target: did you mean 'lable'"):
        call("evaluate", shop / "label", tmp_path / "none.csv")


def test_own_dev_and_eval_rows_are_used_as_given(shop: Path, tmp_path: Path) -> None:
    for name in ("dev", "eval"):
        (tmp_path / f"{name}.csv").write_text("text,label\nbad film,bad\ngood one,good\nfine,good\n")
    call("fit", shop / "rows.csv", "--target", "label", "--model", shop / "base", "--out", tmp_path / "r",
         "--dev", tmp_path / "dev.csv", "--eval", tmp_path / "eval.csv", "--max-rows", 20, *FAST)  # fmt: skip
    data = json.loads((tmp_path / "r" / "predgen.json").read_text())["data"]
    assert {name: part["rows"] for name, part in data.items()} == {"train": 20, "dev": 3, "test": 3}


def test_show_says_what_how_and_how_well(shop: Path) -> None:
    output = call("show", shop / "rating").output
    for words in ("regression of 'rating'", "predgen, lora rank 8", "32 train, 4 dev, 4 test", "learning_curves.png"):
        assert words in output


def test_peft_lists_the_methods_and_what_they_learn_of_a_model(shop: Path) -> None:
    plain = call("peft")
    assert plain.exit_code == 0 and "Kowsher et al. 2024" in plain.stdout and "--model NAME adds" in plain.stdout
    counted = call("peft", "--model", shop / "base", "--rank", 4, "--set", "peft.rocoft.axis=columns")
    lines = {line.split("│")[1].strip(): line for line in counted.stdout.splitlines() if line.count("│") > 4}
    assert "4,096" in lines["lora"]  # 2 layers · 4 · Σ (in + out) = 2 · 4 · 512
    assert "2,048" in lines["rocoft"]  # 2 layers · 4 · Σ out = 2 · 4 · 256
    assert "640" in lines["prompt-tuning"] and "512" in lines["propulsion"]
    refused = call("peft", "--model", shop / "base", "--rank", 17)
    assert refused.exit_code == 0 and "lora: peft.rank=17 is more than" in refused.stdout


def test_export_writes_the_adapter_or_a_plain_model(shop: Path, tmp_path: Path) -> None:
    alone = call("export", shop / "rating", "--out", tmp_path / "adapter")
    assert alone.exit_code == 0 and (tmp_path / "adapter" / "adapter_config.json").exists()
    merged = call("export", shop / "rating", "--merged", "--out", tmp_path / "model")
    assert merged.exit_code == 0 and "AutoModelForCausalLM" in merged.stdout
    outside = json.loads((shop / "rating" / "metrics.json").read_text())["test"]["outside_space"]
    words = f"something else than an answer for {outside:.1%} of the test rows"
    assert outside > 0 and words in " ".join(merged.stdout.split())
    assert (tmp_path / "model" / "model.safetensors").exists() and not (tmp_path / "model" / "predgen.json").exists()


def test_models_and_data_list_source_size_and_licence() -> None:
    models, data = call("models").output, call("data").output
    assert all(words in models for words in ("smollm2-135m", "Apache-2.0", "93 MB"))
    assert all(words in data for words in ("vader-tweets", "4,200", "MIT"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "nothing.csv"], "no file nothing.csv"),
        (["fit", "{rows}", "--target", "ratting"], "did you mean 'rating'"),
        (["fit", "{rows}"], "target column is not clear: label, rating"),
        (["fit", "{rows}", "--target", "label", "--set", "train.lr=1"], r"train\.lr: unknown key; .*learning_rate"),
        (["fit", "{rows}", "--target", "label", "--set", "nonsense"], "has no '='"),
        (["fit", "{rows}", "--target", "label", "--model", "smolm2-135m"], "did you mean 'smollm2-135m'"),
        (["fit", "{rows}", "--target", "label", "--config", "nothing.yaml"], "nothing.yaml cannot be read"),
        (["fit", "{rows}", "--target", "label", "--task", "ranking"], "task: "),
        (["predict", "nothing", "{rows}", "--out", "x"], "no run folder nothing"),
        (["predict", "{run}", "{rows}", "--out", "x", "--decision", "meen"], "no decision 'meen'"),
        (["predict", "{run}", "{rows}", "--out", "x", "--threshold", "good"], "Expected LABEL=P"),
        (["predict", "{run}", "{shop}/other.csv", "--out", "x"], r"no column 'text', which this run reads: .*txet"),
        (["predict", "{run}", "{rows}", "--out", "/proc/x/y"], "cannot be written"),
        (["predict", "{run}", "{rows}", "--out", "{shop}/base/../rows.csv"], "is the file that is read"),
        (["evaluate", "{run}", "{rows}", "--json", "{rows}"], "is the file that is read"),
        (["report", "{run}", "--data", "{rows}", "--out", "{rows}"], "is the file that is read"),
        (["evaluate", "{run}", "{rows}", "--split", "tset"], "did you mean 'test'"),
        (["show", "{shop}"], "holds no predgen run"),
        (["tune", "{rows}", "--target", "label", "--model", "{shop}/base", "--out", "{rows}"], "rows.csv is a file"),
        (["reproduce", "table1", "--only-tables", "--out", "{shop}/none"], "holds no finished cell of table1\\."),
        (["reproduce", "fig6", "--only-tables", "--out", "{shop}/none"], "no finished cell of fig6 that changes"),
    ],
)
def test_wrong_inputs_are_told_apart(shop: Path, arguments: list[str], words: str) -> None:
    filled = [a.format(rows=shop / "rows.csv", run=shop / "label", shop=shop) for a in arguments]
    with pytest.raises(PredgenError, match=words):
        call(*filled)


@pytest.mark.parametrize("option", ["--batch-size", "--resamples"])
def test_numbers_of_rows_and_resamples_are_above_0(shop: Path, option: str) -> None:
    command = ["compare", shop / "label", shop / "label"] if option == "--resamples" else ["evaluate", shop / "label"]
    result = call(*command, shop / "rows.csv", option, 0)
    assert result.exit_code == 2 and option in result.output


def test_an_error_is_one_message_on_stderr() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "predgen.cli", "show", "nothing"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Error: There is no run folder nothing.")
    assert "Traceback" not in result.stderr


def test_overwrite_replaces_a_run(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    shutil.copytree(shop / "label", out)
    arguments = ["fit", shop / "rows.csv", "--target", "rating", "--model", shop / "base", "--out", out, *FAST]
    with pytest.raises(PredgenError, match="holds another run"):
        call(*arguments)
    call(*arguments, "--overwrite")
    assert json.loads((out / "predgen.json").read_text())["target"] == "rating"


def test_several_answers_through_every_command(shop: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "record", tmp_path / "record.jsonl"
    result = call(
        "fit", shop / "rows.csv", "--text", "text", "--target", "label", "--target", "rating",
        "--model", shop / "base", "--out", folder, *FAST,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    for words in (
        "Targets: columns 'label', 'rating', as named.",
        "'rating': answers:",
        "Best on dev: skill",
        "skill, the",
    ):
        assert words in result.output
    call("predict", folder, shop / "rows.csv", "--out", out, "--top", "1", "--level", "0.5")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(40))
    assert lines[0]["prediction"].keys() == {"label", "rating"} == lines[0]["fields"].keys()
    evaluated = call("evaluate", folder, shop / "rows.csv", "--json", tmp_path / "metrics.json")
    assert "skill, the mean over fields" in evaluated.output and "rating" in evaluated.output
    assert json.loads((tmp_path / "metrics.json").read_text())["kind"] == "record"
    assert "record of 'label', 'rating' from '{text}'" in call("show", folder).output
    compared = call("compare", folder, folder, shop / "rows.csv", "--resamples", "20", "--out", tmp_path / "compared")
    assert compared.exit_code == 0 and "skill" in compared.output
    with pytest.raises(PredgenError, match="one field's matter"):
        call("predict", folder, shop / "rows.csv", "--out", tmp_path / "no.jsonl", "--threshold", "good=0.5")


def test_any_number_of_labels_from_a_csv(shop: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "tags.csv", tmp_path / "tags.jsonl"
    data.write_text(
        "text,tags\n" + "".join(f"A {WORDS[n % 4]} film {n},{'|'.join(('good', 'film')[: n % 3])}\n" for n in range(40))
    )
    folder = tmp_path / "tags"
    result = call(
        "fit", data, "--set", "data.separator='|'", "--model", shop / "base", "--out", folder, *FAST,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Task: multi-label, since data.separator is set." in result.output
    assert "Answers: any of 2 labels ('film' ×13, 'good' ×26), a yes or no for each." in result.output
    assert "micro_f1" in result.output and "constant: majority" in result.output
    call("predict", folder, data, "--out", out, "--threshold", "film=0", "--threshold", "good=1")
    assert json.loads(out.read_text().splitlines()[0])["prediction"] == ["film"]
    assert "micro_f1" in call("evaluate", folder, data).output
