"""Every PEFT method through whole runs: fitted, stopped and continued, saved, loaded, exported."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

import predgen
from predgen.config_reading import load_config
from predgen.errors import ConfigError, Interrupted, RunFolderError
from predgen.export import export
from predgen.peft_methods import METHODS
from predgen.training.fit import Fitted, fit
from predgen.training.trainer import PredGenTrainer

TEXTS = ["The film was good", "simply bad"]
# Those that were there before are tried with every method elsewhere.
NEW = sorted(set(METHODS) - {"lora", "dora", "adalora", "full", "qlora"})
SMALL = ["peft.rank=4", "train.max_steps=4", "train.evaluations=2", "data.test_size=0"]


def quiet_fit(assignments: list[str], **options: object) -> Fitted:
    return fit(load_config(assignments=assignments), say=lambda line: None, **options)


def numbers(run: predgen.Run) -> list[float]:
    return [row.mean for row in run.predict(TEXTS)]


@pytest.mark.parametrize("peft", NEW)
def test_predgen_fits_and_reloads(settings: list[str], peft: str) -> None:
    run = quiet_fit([*settings, *SMALL, "director.kind=value", f"peft.method={peft}"])
    assert numbers(predgen.load(run.folder)) == pytest.approx(numbers(run.run), abs=1e-5)


@pytest.mark.parametrize("method", ["generator", "predictor"])
@pytest.mark.parametrize("peft", ["rocoft", "lora-fa-corrected", "prompt-tuning"])
def test_so_do_the_other_methods(settings: list[str], peft: str, method: str) -> None:
    run = quiet_fit([*settings, *SMALL, f"method={method}", f"peft.method={peft}"])
    found = predgen.load(run.folder).predict(TEXTS)
    assert [row.prediction for row in found] == [row.prediction for row in run.run.predict(TEXTS)]


@pytest.mark.parametrize("peft", ["lora-fa-corrected", "prompt-tuning", "rocoft"])
def test_stopped_and_continued_it_ends_with_the_same_bits(
    peft: str, settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = PredGenTrainer.compute_loss

    def stop_at_2(self: PredGenTrainer, *args: object, **kwargs: object) -> object:
        if self.state.global_step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return honest(self, *args, **kwargs)

    settings = [*settings, *SMALL, "director.kind=value", f"peft.method={peft}", "train.weight_decay=0.01"]
    whole = quiet_fit(settings)
    with monkeypatch.context() as patch:
        patch.setattr(PredGenTrainer, "compute_loss", stop_at_2)
        with pytest.raises(Interrupted):
            quiet_fit([*settings, f"out={tmp_path / 'stopped'}"])
    again = quiet_fit([*settings, f"out={tmp_path / 'stopped'}"], resume=True)
    for name in ("adapter_model.safetensors", "director.safetensors"):
        assert (again.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert again.metrics == whole.metrics


def test_the_corrected_optimizer_trains_factors_and_director(settings: list[str]) -> None:
    settings = [*settings, *SMALL, "director.kind=value", "train.evaluations=1"]
    frozen = quiet_fit([*settings, "peft.method=lora-fa-corrected", "train.learning_rate=1e-12"])
    folder = frozen.folder.with_name("corrected")
    moved = quiet_fit([*settings, "peft.method=lora-fa-corrected", f"out={folder}"])
    plain = quiet_fit([*settings, "peft.method=lora-fa", f"out={folder.with_name('plain')}"])
    start, end, other = (dict(one.run.method.named_parameters()) for one in (frozen, moved, plain))
    for name, parameter in end.items():
        learned = "lora_B" in name or not name.startswith("writer.")
        assert torch.allclose(parameter, start[name], atol=1e-9) != learned, name
        assert torch.equal(parameter, other[name]) != learned, f"{name}: both optimizers went the same way"


@pytest.mark.parametrize("peft", ["lora-fa", "rocoft", "prompt-tuning"])
def test_trained_further_it_starts_from_where_it_was(settings: list[str], peft: str, tmp_path: Path) -> None:
    settings = [*settings, *SMALL, f"peft.method={peft}", "train.evaluations=1"]
    first = quiet_fit(settings)
    further = [*settings, f"out={tmp_path / 'further'}", "train.learning_rate=1e-9", "train.seed=5"]
    again = quiet_fit(further, start_from=first.folder)
    assert numbers(again.run) == pytest.approx(numbers(first.run), abs=1e-3)


def test_pissa_cannot_be_trained_further(settings: list[str], tmp_path: Path) -> None:
    settings = [*settings, *SMALL, "peft.method=pissa"]
    first = quiet_fit(settings)
    with pytest.raises(ConfigError, match=r"adapted by pissa.*cannot be trained further"):
        quiet_fit([*settings, f"out={tmp_path / 'further'}"], start_from=first.folder)


@pytest.mark.parametrize("peft", ["moslora", "pissa", "prompt-tuning", "rocoft"])
def test_half_precision_and_recomputed_activations(settings: list[str], peft: str) -> None:
    run = quiet_fit(
        [
            *settings,
            *SMALL,
            "train.max_steps=2",
            "train.evaluations=1",
            f"peft.method={peft}",
            "train.precision=bf16",
            "train.gradient_checkpointing=true",
        ]
    )
    learned = {p.dtype for p in run.run.method.parameters() if p.requires_grad}
    assert learned == {torch.float32}
    # PiSSA's residual is rounded, and its file belongs on the base that is not.
    assert numbers(predgen.load(run.folder)) == pytest.approx(numbers(run.run), abs=0.2 if peft == "pissa" else 1e-5)


def test_a_prompt_counts_in_a_loss_over_all_tokens_and_virtual_ones_do_not(settings: list[str]) -> None:
    run = quiet_fit([*settings, *SMALL, "method=generator", "peft.method=prompt-tuning", "writer.loss_over=all"])
    assert run.metrics["dev"]["value"] > 0


def writer_logits(run: predgen.Run, ids: torch.Tensor) -> torch.Tensor:
    writer = run.method.writer
    with torch.no_grad(), writer.over_vocabulary():
        return writer.prefill(ids, torch.ones_like(ids), all_logits=True).all_logits[:, -ids.shape[1] :]


@pytest.mark.parametrize("peft", ["adalora", "dora", "lora", "moslora", "pissa", "rocoft"])
def test_exported_and_merged_it_is_a_plain_model(settings: list[str], peft: str, tmp_path: Path) -> None:
    run = quiet_fit([*settings, *SMALL, "train.evaluations=1", "train.learning_rate=0.003", f"peft.method={peft}"])
    export(run.folder, tmp_path / "merged", merged=True, say=lambda line: None)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    ids = tokenizer("The film was very good\nAnswer:", return_tensors="pt").input_ids
    assert type(plain).__name__ == "LlamaForCausalLM" and not (tmp_path / "merged" / "adapter_config.json").exists()
    with torch.no_grad():
        assert torch.allclose(plain(input_ids=ids).logits, writer_logits(run.run, ids), atol=1e-4)
    with pytest.raises(RunFolderError, match="holds a plain model already"):
        export(tmp_path / "merged", tmp_path / "twice", merged=True, say=lambda line: None)


@pytest.mark.parametrize("peft", ["lora", "moslora", "prompt-tuning"])
def test_exported_alone_the_adapter_goes_into_its_base(settings: list[str], peft: str, tmp_path: Path) -> None:
    run = quiet_fit([*settings, *SMALL, "train.evaluations=1", "writer.start=base", f"peft.method={peft}"])
    said: list[str] = []
    export(run.folder, tmp_path / "adapter", merged=False, say=said.append)
    assert ("import predgen.peft_methods" in said[0]) == (peft == "moslora")
    base = next(setting for setting in settings if setting.startswith("model.name=")).partition("=")[2]
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "adapter")
    ids = tokenizer("The film was very good\nAnswer:", return_tensors="pt").input_ids
    with torch.no_grad():
        found = model(input_ids=ids).logits[:, -ids.shape[1] :]
    assert torch.allclose(found, writer_logits(run.run, ids), atol=1e-4)
    with pytest.raises(RunFolderError, match="holds something already"):
        export(run.folder, tmp_path / "adapter", merged=False, say=said.append)


def test_what_has_nothing_to_merge_says_so(settings: list[str], tmp_path: Path) -> None:
    whole = quiet_fit([*settings, *SMALL, "train.evaluations=1", "train.learning_rate=0.001", "peft.method=full"])
    for merged in (False, True):
        with pytest.raises(ConfigError, match="fine-tuned whole"):
            export(whole.folder, tmp_path / "out", merged, say=lambda line: None)
    other = [f"out={tmp_path / 'prompt'}", "peft.method=prompt-tuning"]
    tuned = quiet_fit([*settings, *SMALL, "train.evaluations=1", *other])
    with pytest.raises(ConfigError, match="no plain weights can stand for"):
        export(tuned.folder, tmp_path / "out", merged=True, say=lambda line: None)
    assert not (tmp_path / "out").exists()


def test_qlora_is_refused_before_anything_is_read(settings: list[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match="needs a GPU"):
        quiet_fit([*settings, "peft.method=qlora", "data.source=nowhere.csv"])
