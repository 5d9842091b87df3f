from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedModel

import predgen
from predgen.data.batches import pad_prompts
from predgen.data.prompts import EncodedRows
from predgen.decoding.options import PredictOptions
from predgen.errors import ConfigError, DataError, PredgenError, RunFolderError
from predgen.prediction import LabelPrediction, NumberPrediction, RowError
from predgen.processes import Processes
from predgen.scoring import score_answer_rows, score_prompts
from predgen.training import fit as fit_module
from predgen.training.fit import Fitted

VALUE = "director.kind=value"


def test_predictions_have_their_form_and_stay_in_the_space(
    fitted: Callable[..., Fitted], method: str, task: str
) -> None:
    run = fitted(method, task).run
    rows = ["The film was good", {"text": "bad"}, {"text": " "}, {"title": "x"}, float("nan"), None]
    predictions = run.predict(rows)
    assert [prediction.row for prediction in predictions] == [0, 1, 2, 3, 4, 5]
    assert isinstance(predictions[2], RowError)
    assert "no column 'text'" in predictions[3].error
    assert ["The row is a float" in predictions[4].error, "The row is a NoneType" in predictions[5].error] == [True] * 2
    for single in (rows[0], rows[1]):
        with pytest.raises(DataError, match=r"one (text|mapping) was given"):
            run.predict(single)
    for prediction in predictions[:2]:
        if task == "classification":
            assert isinstance(prediction, LabelPrediction)
            assert prediction.prediction in ("good", "bad")
            assert sum(prediction.probabilities.values()) == pytest.approx(1.0)
        else:
            assert isinstance(prediction, NumberPrediction)
            assert -3 <= prediction.prediction <= 3
            assert prediction.interval[0] <= prediction.prediction <= prediction.interval[1]
            if method == "predictor":
                assert prediction.mean == prediction.median == prediction.prediction


def test_predictions_follow_the_options(fitted: Callable[..., Fitted]) -> None:
    run, texts = fitted("generator", "classification").run, ["The film was good", "bad"]
    plain = run.predict(texts)
    dear = {"good": {"bad": 1e6}}
    assert [row.prediction for row in run.predict(texts, PredictOptions(costs=dear))] == ["good", "good"]
    assert [row.prediction for row in run.predict(texts, PredictOptions(thresholds={"bad": 0.0}))] == ["bad", "bad"]
    unsure = run.predict(texts, PredictOptions(abstain_below=1.0, top=1))
    assert [row.prediction for row in unsure] == [None, None]
    assert [list(row.probabilities) for row in unsure] == [
        [max(row.probabilities, key=row.probabilities.get)] for row in plain
    ]
    # Eight dev rows cannot say more than 8/9 of anything: the set that holds 90% is all there is.
    assert all(row.set == ("bad", "good") for row in plain)

    run = fitted("generator", "regression").run
    asked = PredictOptions("greedy", 0.5, interval="central", quantiles=(0.25, 0.75), above=(0.0,))
    for row in run.predict(texts, asked):
        assert row.interval == (row.quantiles["0.25"], row.quantiles["0.75"])
        assert 0 <= row.above["0"] <= 1
    around = run.predict(texts, PredictOptions(level=0.5))
    assert all(row.interval[0] <= row.prediction <= row.interval[1] for row in around)
    assert around[0].interval != run.predict(texts[:1])[0].interval
    with pytest.raises(ConfigError, match="top is for labels"):
        run.predict(texts, PredictOptions(top=1))


def test_a_moved_folder_predicts_the_same(
    fitted: Callable[..., Fitted], method: str, task: str, tmp_path: Path, rows: list[dict[str, object]]
) -> None:
    run = fitted(method, task)
    moved = tmp_path / "moved"
    shutil.copytree(run.folder, moved)
    texts = [str(row["text"]) for row in rows[:9]]
    before, after = run.run.predict(texts), predgen.load(moved).predict(texts)
    assert before == after


def test_plain_peft_reads_the_adapter(fitted: Callable[..., Fitted], workshop: Path, method: str) -> None:
    run = fitted(method, "regression")
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(workshop / "base"), run.folder).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        ours = run.run.method.writer.lm(ids).logits
        assert torch.allclose(plain(ids).logits, ours, atol=1e-5)
        with plain.disable_adapter():
            assert not torch.allclose(plain(ids).logits, ours, atol=1e-3)  # it did learn something


def test_a_changed_base_is_refused(
    fitted: Callable[..., Fitted], workshop: Path, tmp_path: Path, llama: PreTrainedModel
) -> None:
    run = fitted("generator", "regression")
    moved, base = tmp_path / "moved", tmp_path / "base"
    shutil.copytree(run.folder, moved)
    shutil.copytree(workshop / "base", base)
    with torch.no_grad():
        llama.get_input_embeddings().weight[3] += 0.5
    llama.save_pretrained(base)
    record = json.loads((moved / "predgen.json").read_text())
    record["config"]["model"]["name"] = str(base)
    (moved / "predgen.json").write_text(json.dumps(record))
    with pytest.raises(RunFolderError, match="This run was trained on one with"):
        predgen.load(moved)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("predgen.json", "{nonsense", "is damaged"),
        ("predgen.json", '{"format_version": 99}', "format version 99"),
        ("predgen.json", '{"format_version": 3}', "missing"),
        ("adapter_model.safetensors", "nonsense", "damaged or incomplete"),
        ("director.safetensors", "nonsense", "damaged or incomplete"),
        ("director.safetensors", None, "expected"),
        ("tokenizer.json", "nonsense", "damaged or incomplete"),
    ],
)
def test_a_damaged_run_is_refused(
    fitted: Callable[..., Fitted], tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(fitted("predgen", "regression", VALUE).folder, moved)
    if content is None:
        (moved / name).unlink()
    else:
        (moved / name).write_text(content)
    with pytest.raises(RunFolderError, match=words):
        predgen.load(moved)


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no run folder"):
        predgen.load(tmp_path / "nothing")
    with pytest.raises(RunFolderError, match="holds no predgen run"):
        predgen.load(tmp_path)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(RunFolderError, match="unfinished run"):
        predgen.load(tmp_path)


def test_the_gold_answer_cannot_reach_the_evaluation(
    fitted: Callable[..., Fitted], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rows: list[dict[str, object]]
) -> None:
    """Everything the models read while dev is scored is the dev prompts; shuffled targets change no score."""
    seen: list[list[list[int]]] = []

    def spy(method: torch.nn.Module, encoded: EncodedRows, batch_size: int, processes: Processes) -> object:
        seen.append([list(prompt) for prompt in encoded.prompts])
        return score_answer_rows(method, encoded, batch_size, processes=processes)

    monkeypatch.setattr(fit_module, "score_answer_rows", spy)
    run = fitted("predgen", "regression", "train.seed=77")
    decode = run.run.tokenizer.decode
    assert len(seen) == 3
    for prompt in seen[0]:
        text = decode(prompt)
        assert text.startswith("The film") and text.endswith("\nAnswer:")
    bodies = [str(row["text"]) for row in rows[:6]]
    truth = [float(row["rating"]) for row in rows[:6]]
    scores = run.run.score(bodies)
    one, other = (run.run.evaluate_scores(bodies, run.run.score(bodies), t) for t in (truth, truth[::-1]))
    assert one.decisions != other.decisions  # the metrics follow the targets
    assert torch.equal(scores.log_posterior, run.run.score(bodies).log_posterior)  # the scores never see them


def test_training_evaluation_and_prediction_agree(
    fitted: Callable[..., Fitted], task: str, rows: list[dict[str, object]]
) -> None:
    run = fitted("predgen", task)
    splits = json.loads((run.folder / "splits.json").read_text())
    data = rows
    chosen = [data[number] for number in splits["dev"]["rows"]]
    target = "label" if task == "classification" else "rating"
    evaluation = run.run.evaluate(chosen, [row[target] for row in chosen])
    best = run.metrics["dev"]
    assert evaluation.decisions[best["decision"]][best["metric"]] == pytest.approx(best["value"], abs=1e-5)


def test_batch_size_and_order_change_no_score(
    fitted: Callable[..., Fitted], method: str, task: str, rows: list[dict[str, object]]
) -> None:
    run = fitted(method, task).run
    prompts = [run.encoder(run.body(str(row["text"]))).ids for row in rows[:7]]
    one, seven = (score_prompts(run.method, prompts, size) for size in (1, 7))
    for alone, together in zip(one, seven, strict=True):
        assert (alone is None) == (together is None)
        if alone is not None:
            assert torch.allclose(alone.double(), together.double(), atol=1e-4)


def test_left_and_right_padding_agree(fitted: Callable[..., Fitted]) -> None:
    """Padding the prompts to any width, with any id, is the same."""
    method = fitted("predgen", "regression", VALUE).run.method
    batch = pad_prompts([[5, 6, 7], [8, 9, 10, 11, 12]])
    wide = (
        torch.nn.functional.pad(batch.prompt_ids, (4, 0), value=3),
        torch.nn.functional.pad(batch.prompt_mask, (4, 0)),
    )
    one, other = method.score(*batch), method.score(*wide)
    assert torch.allclose(one.log_posterior, other.log_posterior, atol=1e-4)
    assert torch.allclose(one.value, other.value, atol=1e-4)


def test_predict_proba_sums_to_one(fitted: Callable[..., Fitted], task: str) -> None:
    run = fitted("generator", task).run
    probabilities = run.predict_proba(["The film was good", "bad"])
    assert probabilities.shape == (2, len(run.space.texts))
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    with pytest.raises(PredgenError, match="no distribution"):
        fitted("predictor", "regression").run.predict_proba(["a"])
