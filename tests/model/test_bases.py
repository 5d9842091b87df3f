from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.errors import ModelError, RunFolderError
from predgen.model.bases import Base, check_base, fingerprint, load_base


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if not request.node.get_closest_marker("model"):
        monkeypatch.setenv("PREDGEN_CACHE", str(tmp_path / "cache"))


def test_any_architecture_loads_from_its_folder(
    tiny_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tiny_model.save_pretrained(tmp_path / "model")
    byte_level.save_pretrained(tmp_path / "model")
    base = load_base(str(tmp_path / "model"))
    assert type(base.model) is type(tiny_model)
    assert not base.model.training
    ids = torch.tensor([[1, 2, 3]])
    assert torch.allclose(base.model(ids).logits, tiny_model(ids).logits, atol=1e-6)


def test_a_folder_beats_a_name(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_folder.rename(tiny_folder.parent / "smollm2-135m")
    monkeypatch.chdir(tiny_folder.parent)
    assert load_base("smollm2-135m").model.config.hidden_size == 32


def test_the_fingerprint_follows_the_weights_not_the_place(tiny_folder: Path, llama: PreTrainedModel) -> None:
    before = fingerprint(tiny_folder)
    moved = Path(shutil.copytree(tiny_folder, tiny_folder.parent / "elsewhere"))
    assert fingerprint(moved) == before
    with torch.no_grad():
        llama.get_input_embeddings().weight[5, 5] += 1
    llama.save_pretrained(moved)
    assert fingerprint(moved) != before


def test_a_damaged_memory_of_fingerprints_is_rebuilt(tiny_folder: Path, tmp_path: Path) -> None:
    before = fingerprint(tiny_folder)
    (tmp_path / "cache" / "fingerprints.json").write_text("{nonsense")
    assert fingerprint(tiny_folder) == before


def test_another_base_is_refused(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    base = Base(llama, byte_level, "mine", "a" * 64, "")
    check_base(base, "a" * 64)
    with pytest.raises(RunFolderError, match="trained on one with bbbb"):
        check_base(base, "b" * 64)


def test_a_missing_pad_token_becomes_the_end_token(llama: PreTrainedModel, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    llama.save_pretrained(tmp_path / "model")
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "<end>": 1}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(tmp_path / "model")
    assert load_base(str(tmp_path / "model")).tokenizer.pad_token_id == 1


def test_models_that_cannot_be_used_are_named(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=r"did you mean 'smollm2-135m'.*hub id"):
        load_base("smollm2")
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        load_base(str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="could not be fetched from the hub"):
        load_base("nobody/nothing-such")
    weights = tiny_folder / "model.safetensors"
    weights.rename(tiny_folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="reads no pickled weights"):
        load_base(str(tiny_folder))
    (tiny_folder / "pytorch_model.bin").unlink()
    weights.write_bytes(b"not safetensors")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_base(str(tiny_folder))


@pytest.mark.model
def test_smollm2_is_whole_and_plain() -> None:
    base = load_base("smollm2-135m")
    assert not hasattr(base.model.config, "quantization_config")
    assert base.model.num_parameters() == 134_515_008
    ids = base.tokenizer("The capital of France is", return_tensors="pt")
    text = base.tokenizer.decode(base.model.generate(**ids, max_new_tokens=3, do_sample=False)[0])
    assert "Paris" in text
