from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import predgen
from predgen.compare import compare
from predgen.config_reading import load_config
from predgen.errors import AnswerError, ConfigError, DataError, ModelError
from predgen.learning import best_dev
from predgen.model.outputs import Scores, StepOutput
from predgen.model.predgen import PredGen
from predgen.training.dev_result import DevResult
from predgen.training.examiner import SingleExaminer
from predgen.training.fit import Fitted, fit
from predgen.training.trainer import PredGenTrainer
from predgen.training.weights import trained_tensors

TEXTS = ["The film was good", "simply bad"]


def quiet_fit(assignments: list[str], **options: object) -> Fitted:
    return fit(load_config(assignments=assignments), say=lambda line: None, **options)


def spoken_fit(assignments: list[str]) -> list[str]:
    said: list[str] = []
    fit(load_config(assignments=assignments), say=said.append)
    return said


def vector(run: Fitted) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for n, p in run.run.method.named_parameters() if "lora" in n])


@pytest.mark.parametrize("method", ["predgen", "generator", "predictor"])
@pytest.mark.parametrize("peft", ["lora", "dora", "adalora", "full"])
def test_every_method_with_every_peft_method_fits_and_reloads(settings: list[str], method: str, peft: str) -> None:
    run = quiet_fit([*settings, f"method={method}", f"peft.method={peft}", "train.learning_rate=0.003"])
    assert predgen.load(run.folder).predict(TEXTS) == run.run.predict(TEXTS)


@pytest.mark.parametrize("peft", ["lora", "full"])
@pytest.mark.parametrize("method", ["predgen", "predictor"])
def test_half_precision_learns_in_float32_and_serves_as_it_was_evaluated(
    settings: list[str], method: str, peft: str
) -> None:
    run = quiet_fit([*settings, f"method={method}", f"peft.method={peft}", "train.precision=bf16"])
    learned = {p.dtype for p in run.run.method.parameters() if p.requires_grad}
    assert learned == {torch.float32}
    if peft != "full":
        head = run.run.method.writer.lm.get_output_embeddings().weight
        frozen = {p.dtype for p in run.run.method.parameters() if not p.requires_grad and p is not head}
        assert frozen == {torch.bfloat16} and head.dtype == torch.float32
    assert predgen.load(run.folder).predict(TEXTS) == run.run.predict(TEXTS)


def test_fp16_without_a_gpu_is_refused(settings: list[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ConfigError, match="needs a GPU"):
        quiet_fit([*settings, "train.precision=fp16"])


@pytest.mark.parametrize("method", ["predgen", "generator", "predictor"])
def test_gradient_checkpointing_ends_where_plain_training_does(
    settings: list[str], method: str, tmp_path: Path
) -> None:
    settings = [*settings, f"method={method}", "train.max_steps=3", "train.evaluations=1"]
    plain = quiet_fit(settings)
    less = quiet_fit([*settings, "train.gradient_checkpointing=true", f"out={tmp_path / 'less'}"])
    assert (vector(plain) - vector(less)).norm() <= 1e-3 * vector(plain).norm()
    assert predgen.load(less.folder).predict(TEXTS) == less.run.predict(TEXTS)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_learning_rates_follow_their_schedule(settings: list[str], schedule: str) -> None:
    run = quiet_fit([*settings, f"train.schedule={schedule}", "train.warmup=0.25"])
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    rates = [line["learning_rate"] / 0.01 for line in lines if line["event"] == "train"]
    shape = {
        "constant": lambda left: 1.0,
        "linear": lambda left: left,
        "cosine": lambda left: 0.5 - 0.5 * math.cos(math.pi * left),
    }[schedule]
    expected = [step / 3 if step < 3 else shape((12 - step) / 9) for step in range(12)]
    assert rates == pytest.approx(expected, abs=1e-6)


def test_balanced_classes_and_weighted_rows_change_what_is_learned(settings: list[str], tmp_path: Path) -> None:
    settings = [*settings, "data.target=label"]
    runs = [
        quiet_fit([*settings, *extra, f"out={tmp_path / str(number)}"])
        for number, extra in enumerate(
            (
                [],
                ["train.class_weights=balanced"],
                ["train.class_weights={good: 1, bad: 5}"],
                ["data.weight=importance"],
            )
        )
    ]
    vectors = [vector(run) for run in runs]
    assert all(not torch.equal(vectors[0], other) for other in vectors[1:])
    again = load_config(runs[2].folder / "config.yaml")
    assert again.train.class_weights == {"good": 1.0, "bad": 5.0}


@pytest.mark.parametrize(
    ("assignment", "error", "words"),
    [
        (
            "train.class_weights={god: 2}",
            ConfigError,
            "class_weights names the unknown label 'god'.*did you mean 'good'",
        ),
        ("data.weight=text", DataError, "weight 'text' is also"),
        ("data.weight=rating", DataError, "no usable weight in 'rating'"),
        ("data.weight=wait", DataError, "no column 'wait'"),
        ("train.time_budget=soon", ConfigError, "time_budget='soon' is no time"),
        ("space.labels=[good,fine]", AnswerError, "targets do not belong to the space; row 2.*'bad'"),
    ],
)
def test_settings_that_do_not_fit(settings: list[str], assignment: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        quiet_fit([*settings, "data.target=label", assignment])


def test_of_all_evaluations_the_best_and_the_last_are_kept(
    settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[set[int]] = []
    honest = PredGenTrainer.go_on

    def go_on(self: PredGenTrainer, checkpoint: Path | None) -> None:
        honest(self, checkpoint)
        held.append(set(self.dev_results))
        assert self.dev_results[self.best()].value == self.state.best_metric

    monkeypatch.setattr(PredGenTrainer, "go_on", go_on)
    run = quiet_fit([*settings, "train.evaluations=12"])
    assert held == [{run.run.record.best_step, 12}]


def test_of_checkpoints_that_are_as_accurate_the_one_whose_probabilities_fit_better_is_kept(
    settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dev accuracies are often equal over few rows; the run ends with the weights of the least log loss of those."""
    honest, losses, seen = SingleExaminer.dev, iter([0.5, 0.3, 0.2, 0.4]), list[dict[str, torch.Tensor]]()

    def dev(self: SingleExaminer, scores: Sequence[Scores], readers: Sequence[str | None]) -> DevResult:
        loss = next(losses, None)
        if loss is None:  # the final verdict
            return honest(self, scores, readers)
        accuracy = 0.6 if loss == 0.2 else 0.8
        return DevResult({"mode": {"accuracy": accuracy, "log_loss": loss}}, "accuracy", scores)

    def save(self: PredGenTrainer, *arguments: Any) -> None:
        seen.append({name: tensor.clone() for name, tensor in trained_tensors(self.model).items()})
        keep(self, *arguments)

    keep = PredGenTrainer._save_checkpoint
    monkeypatch.setattr(PredGenTrainer, "_save_checkpoint", save)
    monkeypatch.setattr(SingleExaminer, "dev", dev)
    fitted = quiet_fit([*settings, "data.target=label", "train.max_steps=8", "train.evaluations=4"])
    assert fitted.run.record.best_step == 4
    final = trained_tensors(fitted.run.method)
    assert all(torch.equal(final[name], tensor) for name, tensor in seen[1].items())
    log = [json.loads(line) for line in (fitted.folder / "metrics.jsonl").read_text().splitlines()]
    assert best_dev(log)["step"] == 4


class Poison:
    """Makes one training row's loss, or its gradient, no number."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, row: int, gradient: bool) -> None:
        honest = PredGen.forward

        def forward(method: PredGen, **inputs: torch.Tensor) -> StepOutput:
            output = honest(method, **inputs)
            if row in inputs["row_ids"].tolist() and inputs["step"] < 2**31:
                loss = output.loss
                if gradient:
                    loss.register_hook(lambda grad: grad * float("nan"))
                return output._replace(loss=loss if gradient else loss * float("nan"))
            return output

        monkeypatch.setattr(PredGen, "forward", forward)


@pytest.mark.parametrize(("gradient", "what"), [(False, "loss became nan"), (True, "gradient became infinite or no")])
def test_what_is_not_finite_stops_the_run_and_names_the_rows(
    settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gradient: bool, what: str
) -> None:
    Poison(monkeypatch, 3, gradient)
    with pytest.raises(ModelError, match=rf"{what}.*training rows \[.*on_nonfinite=skip") as raised:
        quiet_fit(settings)
    trained_on = json.loads((tmp_path / "run" / "splits.json").read_text())["train"]["rows"]
    named = json.loads(re.search(r"rows (\[.*?\])", str(raised.value))[1])
    assert trained_on[3] != 3 and trained_on[3] in named and set(named) <= set(trained_on)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_is_not_finite_can_be_left_out(
    settings: list[str], monkeypatch: pytest.MonkeyPatch, gradient: bool, accumulate: int
) -> None:
    Poison(monkeypatch, 3, gradient)
    said = spoken_fit([*settings, "train.on_nonfinite=skip", f"train.accumulate={accumulate}"])
    # 30 rows in batches of 5, over 12 or 24 of them: the row comes up 2 or 4 times
    assert any(f"{2 * accumulate} steps or parts of steps were left out" in line for line in said)


@pytest.mark.parametrize("peft", ["adalora", "lora-fa-corrected"])
def test_methods_with_steps_of_their_own_leave_it_out_too(
    settings: list[str], monkeypatch: pytest.MonkeyPatch, peft: str
) -> None:
    Poison(monkeypatch, 3, gradient=True)
    said = spoken_fit([*settings, "train.on_nonfinite=skip", f"peft.method={peft}", "peft.rank=4"])
    assert any("2 steps or parts of steps were left out" in line for line in said)


def test_nothing_but_what_is_not_finite_stops_it_all_the_same(
    settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in range(30):
        Poison(monkeypatch, row, gradient=False)
    with pytest.raises(ModelError, match="21th time in a row"):
        quiet_fit([*settings, "train.on_nonfinite=skip", "train.max_steps=60", "train.evaluations=1"])


def test_a_time_budget_takes_fewer_steps_and_keeps_to_it(settings: list[str]) -> None:
    settings = [item for item in settings if not item.startswith("train.max_steps")]
    said = spoken_fit([*settings, "train.epochs=10000", "train.time_budget=3s"])
    assert any("A time budget of 3s leaves room for" in line for line in said)
    assert any(line.startswith("Estimate: ") and "GiB at its peak" in line for line in said)


def test_a_run_goes_on_from_another_on_new_rows(settings: list[str], tmp_path: Path, rows: list[dict]) -> None:
    first = quiet_fit([*settings, "director.pooling=last"])
    new = tmp_path / "new.jsonl"
    new.write_text("\n".join(json.dumps({**row, "text": f"Again: {row['text']}"}) for row in rows[:30]))
    # As the command line has it: the first run's settings, under what is new.
    from predgen.training.run_folder import settings_to_continue

    config = load_config(
        None,
        [f"data.source={new}", f"out={tmp_path / 'second'}", "train.learning_rate=1e-12", "train.max_steps=1"],
        under=settings_to_continue(first.folder),
    )
    second = fit(config, say=lambda line: None, start_from=first.folder)
    assert torch.allclose(vector(first), vector(second), atol=1e-9)
    assert second.run.record.space == first.run.record.space
    assert (second.run.record.mean, second.run.record.spread) == (first.run.record.mean, first.run.record.spread)
    with pytest.raises(ConfigError, match=r"not those of.*\n  method: 'predgen' → 'predictor'"):
        fit(load_config(None, ["method=predictor"], under=config.to_dict()), start_from=first.folder)


def test_tensorboard_gets_what_the_log_gets(settings: list[str]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = quiet_fit([*settings, "train.report_to=[tensorboard]"])
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    written = {line["step"]: line["writer_loss"] for line in lines if line["event"] == "train"}
    assert {event.step: event.value for event in events.Scalars("train/writer_loss")} == pytest.approx(written)
    dev = {line["step"]: line["decisions"]["mean"]["mae"] for line in lines if line["event"] == "dev"}
    assert {event.step: event.value for event in events.Scalars("eval/mean_mae")} == pytest.approx(dev)


def test_mlflow_gets_what_the_log_gets(settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed; its dependencies are many")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    run = quiet_fit([*settings, "train.report_to=[mlflow]"])
    assert mlflow.active_run() is None, "a second fit must not go into the first one's run"
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("Default").experiment_id])
    assert found.info.status == "FINISHED"
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]

    def kept(metric: str) -> dict[int, float]:
        return {entry.step: entry.value for entry in client.get_metric_history(found.info.run_id, metric)}

    written = {line["step"]: line["writer_loss"] for line in lines if line["event"] == "train"}
    assert kept("writer_loss") == pytest.approx(written)
    dev = {line["step"]: line["decisions"]["mean"]["mae"] for line in lines if line["event"] == "dev"}
    assert kept("eval_mean_mae") == pytest.approx(dev)


def test_an_unknown_tracker_is_refused(settings: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"report_to.*'tensorbord'.*tensorboard"):
        quiet_fit([*settings, "train.report_to=[tensorbord]"])


@pytest.mark.parametrize("method", ["predgen", "predictor"])
@pytest.mark.parametrize("long", ["tail", "head-tail", "windows"])
def test_long_texts_fit_and_reload(settings: list[str], long: str, method: str) -> None:
    settings = [*settings, f"method={method}", "prompt.max_tokens=8", f"prompt.long={long}"]
    said: list[str] = []
    run = fit(load_config(assignments=settings), say=said.append)
    assert any(("windows of 8 tokens" if long == "windows" else f"the {long} of their texts") in line for line in said)
    loaded = predgen.load(run.folder)
    assert loaded.predict(TEXTS) == run.run.predict(TEXTS)
    assert run.metrics["test"]["rows"] == 10


def test_rows_in_memory_fit_and_predict(settings: list[str], rows: list[dict[str, object]]) -> None:
    import pandas

    frame = pandas.DataFrame(rows)
    config = load_config(assignments=["data.source=null" if s.startswith("data.source") else s for s in settings])
    run = fit(config, say=lambda line: None, data=frame[:30], dev=frame[30:40], test=iter(rows[40:]))
    assert run.metrics["test"]["rows"] == 8
    some, texts = frame[:3], [str(row["text"]) for row in rows[:3]]
    assert run.run.predict(some[["text"]]) == run.run.predict(texts)
    assert (run.run.predict_proba(some) == run.run.predict_proba(texts)).all()
    truth = some["rating"].tolist()
    assert run.run.evaluate(some, truth).decisions == run.run.evaluate(texts, truth).decisions


def test_doubles_across_splits_and_strange_dev_rows_are_said(
    settings: list[str], rows: list[dict[str, object]], tmp_path: Path
) -> None:
    dev = [rows[0], {**rows[1], "text": "new", "rating": 9.5}]
    said: list[str] = []
    fit(load_config(assignments=settings), say=said.append, dev=dev)
    assert any(line.startswith("1 dev rows have targets outside the grid") for line in said)
    assert any("of 2 dev rows have the very text of a" in line for line in said)
    with pytest.raises(DataError, match=r"label that the training rows lack.*'awful'"):
        fit(load_config(assignments=[*settings, "data.target=label"]), dev=[{**rows[0], "label": "awful"}])


@pytest.mark.parametrize("target", ["rating", "label"])
def test_runs_are_compared_on_the_rows_that_all_allow(
    settings: list[str], tmp_path: Path, workshop: Path, target: str
) -> None:
    from typer.testing import CliRunner

    from predgen.cli import app

    settings = [*settings, f"data.target={target}"]
    one = quiet_fit([*settings, f"out={tmp_path / 'one'}"])
    other = quiet_fit([*settings, "method=predictor", f"out={tmp_path / 'other'}"])
    elsewhere = quiet_fit([*settings, "data.split_seed=3", f"out={tmp_path / 'elsewhere'}"])
    folders = [str(run.folder) for run in (one, other, elsewhere)]
    data, out = str(workshop / "rows.jsonl"), tmp_path / "comparison"
    common = ["--out", str(out), "--resamples", "50"]
    result = CliRunner().invoke(app, ["compare", *folders[:2], data, *common])
    assert result.exit_code == 0, result.exception
    written = json.loads((out / "comparison.json").read_text())
    assert (out / "comparison.png").stat().st_size > 5000
    assert written["rows"] == 10
    for run, fitted in zip(written["runs"], (one, other), strict=True):
        expected = fitted.metrics["test"]["decisions"][run["decision"]][written["metric"]]
        assert run["value"] == pytest.approx(expected, abs=1e-6)
        assert run["low"] <= run["value"] <= run["high"]
    CliRunner().invoke(app, ["compare", *folders, data, *common], catch_exceptions=False)
    assert json.loads((out / "comparison.json").read_text())["rows"] < 10
    with pytest.raises(DataError, match="1 run was named"):
        CliRunner().invoke(app, ["compare", folders[0], data], catch_exceptions=False)
    with pytest.raises(ConfigError, match="no metric of a"):
        CliRunner().invoke(app, ["compare", *folders[:2], data, "--metric", "nonsense"], catch_exceptions=False)


def test_from_and_resume_on_the_command_line(settings: list[str], tmp_path: Path, workshop: Path) -> None:
    from typer.testing import CliRunner

    from predgen.cli import app

    first = quiet_fit([*settings, "director.pooling=last"])
    out = str(tmp_path / "second")
    options = ["--out", out, "--set", "train.max_steps=2", "--set", "train.evaluations=1", "--long", "head"]
    result = CliRunner().invoke(app, ["fit", str(workshop / "rows.jsonl"), "--from", str(first.folder), *options])
    assert result.exit_code == 0, result.exception
    assert "Starting from the weights of" in result.output
    assert load_config(Path(out) / "config.yaml").director.pooling == "last"
    result = CliRunner().invoke(app, ["fit", "--resume", "--out", out])
    assert result.exit_code == 0, result.exception
    assert "nothing is left to do" in result.output


def test_runs_are_not_compared_on_a_label_that_they_do_not_know(fitted: Callable[..., Fitted], tmp_path: Path) -> None:
    folder = fitted("generator", "classification").folder
    rows = [{"text": f"new film {number}", "label": label} for number, label in enumerate(["good", "awful"])]
    (tmp_path / "new.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match="1 rows have a label that this run does not know, first row 1: 'awful'"):
        compare([folder, folder], predgen.load, str(tmp_path / "new.jsonl"), resamples=20)
