from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import predgen
from predgen.config_reading import load_config
from predgen.decoding.calibrate import Calibration
from predgen.errors import ConfigError, ModelError, RunFolderError
from predgen.reliability import reliability_curves
from predgen.training.fit import Fitted, fit

VALUE = "director.kind=value"


def test_the_run_folder_holds_what_it_says(fitted: Callable[..., Fitted], method: str, task: str) -> None:
    run = fitted(method, task)
    found = {path.name for path in run.folder.iterdir()}
    expected = {
        "predgen.json",
        "config.yaml",
        "splits.json",
        "metrics.json",
        "metrics.jsonl",
        "held_out.json",
        "README.md",
        "adapter_model.safetensors",
        "adapter_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "figures",
    }
    # The expected value is read off the writer's own posterior, and has nothing to keep but where the writer started.
    starts = {"probe.safetensors"} if task == "regression" and method != "predictor" else set()
    read_by_writer = method == "generator" or (method, task) == ("predgen", "regression")
    assert found == expected | starts | (set() if read_by_writer else {"director.safetensors"})
    pictures = {path.stem for path in (run.folder / "figures").glob("*.png")}
    of_the_task = "confusion_matrix" if task == "classification" else "predicted_against_true"
    assert pictures == {"learning_curves", "reliability", of_the_task}
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert metrics["test"]["rows"] == 10
    assert json.loads((run.folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(
        run.run.record.config["model"]["name"]
    )


def test_the_same_seed_gives_the_same_run(fitted: Callable[..., Fitted]) -> None:
    one = fitted("predgen", "regression")
    again = fitted("predgen", "regression", "train.seed=0")
    other = fitted("predgen", "regression", "train.seed=1")
    read = [(run.folder / "adapter_model.safetensors").read_bytes() for run in (one, again, other)]
    assert read[0] == read[1] != read[2]


def test_accumulating_two_batches_of_four_is_one_batch_of_eight(fitted: Callable[..., Fitted]) -> None:
    common = ("train.max_steps=3", "train.evaluations=1", "data.train_size=24")
    whole = fitted("predgen", "regression", "train.batch_size=8", *common)
    halves = fitted("predgen", "regression", "train.batch_size=4", "train.accumulate=2", *common)
    for (name, one), other in zip(
        whole.run.method.named_parameters(), dict(halves.run.method.named_parameters()).values(), strict=True
    ):
        # By norm: where a gradient is nothing but rounding, Adam makes a whole step of it, this way or that.
        assert (one - other).norm() <= 1e-3 * other.norm(), name


def test_the_best_checkpoint_is_kept(fitted: Callable[..., Fitted]) -> None:
    run = fitted("predgen", "regression")
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    dev = [line for line in lines if line["event"] == "dev"]
    assert run.metrics["dev"]["value"] == min(line["value"] for line in dev)
    assert run.run.record.best_step == min(dev, key=lambda line: line["value"])["step"]
    train = [line for line in lines if line["event"] == "train"]
    assert {"writer_loss", "sampling_probability", "rows_per_second"} <= train[-1].keys()
    assert train[-1]["sampling_probability"] == 1.0


def test_an_output_folder_in_use_is_refused(fitted: Callable[..., Fitted], tmp_path: Path) -> None:
    run = fitted("generator", "classification")
    config = load_config(run.folder / "config.yaml")
    with pytest.raises(RunFolderError, match=r"holds another run.*--overwrite"):
        fit(config, say=lambda line: None)
    assert (run.folder / "predgen.json").exists()
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(RunFolderError, match="not a run's"):
        fit(replace(config, out=str(tmp_path)), overwrite=True, say=lambda line: None)
    assert (tmp_path / "thesis.txt").exists()


def test_the_saved_config_repeats_the_run(fitted: Callable[..., Fitted], tmp_path: Path) -> None:
    run = fitted("generator", "classification")
    again = fit(replace(load_config(run.folder / "config.yaml"), out=str(tmp_path / "again")), say=lambda line: None)
    assert (again.folder / "adapter_model.safetensors").read_bytes() == (
        run.folder / "adapter_model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("method=oracle", "Unknown method 'oracle'.*generator, predgen, predictor"),
        ("loss=huber", "Unknown loss 'huber'.*wdal_released"),
        ("peft.method=dora2", "Unknown PEFT method 'dora2'.*lora"),
        ("director.kind=class", "does not read a regression.*expected.*ordered_released"),
        (
            "director.reads=prompt_and_answer director.kind=value",
            "does not go with director.pooling=mean.*Choose director.pooling=attention",
        ),
        ("director.reads=prompt_and_answer", r"director.kind=expected, which reads no states.*\['value'\]"),
        ("sampling.own=free writer.normalise=space", "does not go with writer.normalise=space"),
        ("sampling.own=free sampling.mode=parallel", "does not go with sampling.mode=parallel"),
        ("train.metric=accuracy", "no metric of a regression"),
        ("data.dev_size=0", "0 dev rows"),
        ("peft.target_modules=nothing_such", "matches no module"),
        ("data.source=null", "No data was named"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_written(
    fitted: Callable[..., Fitted], tmp_path: Path, assignment: str, words: str
) -> None:
    base = fitted("predgen", "regression").folder / "config.yaml"
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match=words):
        fit(
            load_config(base, [f"out={out}", "director.kind=null", "train.metric=null", *assignment.split()]), say=print
        )
    assert not (out / "predgen.json").exists()


def test_a_loss_that_is_not_finite_stops_the_run(fitted: Callable[..., Fitted], tmp_path: Path) -> None:
    base = fitted("predgen", "regression").folder / "config.yaml"
    with pytest.raises(ModelError, match=r"loss became (nan|inf).*rows \["):
        fit(load_config(base, [f"out={tmp_path / 'o'}", "train.learning_rate=1e30", "train.warmup=0"]), say=print)
    assert not (tmp_path / "o" / "predgen.json").exists()


def test_early_stopping_stops(fitted: Callable[..., Fitted]) -> None:
    run = fitted(
        "predgen",
        "regression",
        "train.patience=1",
        "train.epochs=40",
        "train.evaluations=40",
        "train.learning_rate=1e-9",
    )
    last = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()][-1]
    assert last["step"] < run.run.record.total_steps


def test_long_prompts_are_cut_aloud(workshop: Path, tmp_path: Path) -> None:
    said: list[str] = []
    config = load_config(
        assignments=[
            f"data.source={workshop / 'rows.jsonl'}",
            "data.target=label",
            "prompt.max_tokens=7",
            f"model.name={workshop / 'base'}",
            f"out={tmp_path / 'run'}",
            "train.max_steps=1",
        ]
    )
    fit(config, say=said.append)
    assert any("training prompts are longer than 7 tokens" in line for line in said)


def test_every_architecture_and_tokenizer_fits_and_reloads(
    workshop: Path, tmp_path: Path, tiny_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    tiny_model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    config = load_config(
        assignments=[
            f"data.source={workshop / 'rows.jsonl'}",
            "data.target=rating",
            f"model.name={tmp_path / 'base'}",
            f"out={tmp_path / 'run'}",
            "train.max_steps=2",
            "train.evaluations=1",
        ]
    )
    run = fit(config, say=lambda line: None).run
    texts = ["The film was good", "simply bad"]
    assert predgen.load(tmp_path / "run").predict(texts) == run.predict(texts)


def test_what_dev_rows_teach_is_kept_with_the_run(
    fitted: Callable[..., Fitted], more_rows: list[dict[str, object]], tmp_path: Path, task: str
) -> None:
    """Temperatures, the mixture and the held-out errors are fitted, saved, and applied alike after a reload."""
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, more_rows)))
    more = (f"data.source={tmp_path / 'rows.jsonl'}", "data.dev_size=50", "train.max_steps=4", "train.evaluations=1")
    run = fitted("predgen", task, *more, *((VALUE,) if task == "regression" else ()))
    again = predgen.load(run.folder)
    assert again.calibration == run.run.calibration != Calibration()
    assert again.calibration.rows == 50
    assert again.calibration.mix is not None
    assert again.conformal == run.run.conformal
    assert len(again.conformal[again.record.decision].errors) == 50
    texts = [str(row["text"]) for row in more_rows[:4]]
    assert again.predict(texts) == run.run.predict(texts)
    truth = [row["label" if task == "classification" else "rating"] for row in more_rows[:20]]
    bodies = [again.body(text) for text in texts]
    curves = reliability_curves(again, again.score_raw(bodies), again.score(bodies), truth[:4])
    names = ["posterior, as trained", "posterior, calibrated", "conformal"]
    if task == "classification":
        names = [f"{again.record.decision}, as trained", f"{again.record.decision}, calibrated"]
        if again.record.decision == "mixed":
            names[0] = "mode, as trained"
    assert [curve.name for curve in curves] == names
    assert all(0 <= share <= 1 for curve in curves for share in curve.observed)
    assert "mixed" in again.evaluate(more_rows[:20], truth).decisions


def test_too_few_dev_rows_are_not_calibrated_on(fitted: Callable[..., Fitted], settings: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"there are 8 dev rows. At least 50 are needed"):
        fit(load_config(assignments=[*settings, "train.calibrate=on"]), say=lambda line: None)
    assert fitted("predgen", "classification").run.calibration == Calibration()
