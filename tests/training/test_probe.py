from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from predgen.config_reading import load_config
from predgen.errors import ConfigError, RunFolderError
from predgen.export import export
from predgen.loading import load
from predgen.training.fit import fit
from predgen.training.run_folder import settings_to_continue

from .told import said_by

silent = lambda line: None  # noqa: E731
TEXTS = ["The film 3 was very good", "terrible"]


def test_numbers_start_from_a_probe_that_stays(settings: list[str]) -> None:
    fitted, said = said_by(settings)
    assert "The writer starts from a probe of its base on 30 rows, cross-validated loss " in said
    probe = fitted.run.method.writer.projection.probe
    assert torch.equal(probe, load_file(fitted.folder / "probe.safetensors")["weight"])
    again = load(fitted.folder)
    torch.testing.assert_close(
        again.score_answers_raw(TEXTS)[0].log_posterior, fitted.run.score_answers_raw(TEXTS)[0].log_posterior
    )
    assert torch.equal(again.method.writer.projection.probe, probe)


@pytest.mark.parametrize(
    "changed",
    [
        ("writer.start=base",),
        ("director.kind=value",),
        ("method=generator", "data.target=label"),
        ("method=generator", "writer.normalise=vocabulary"),
        ("writer.normalise=vocabulary",),
    ],
)
def test_others_start_as_their_base(settings: list[str], changed: tuple[str, ...]) -> None:
    fitted, said = said_by([*settings, *changed, "train.max_steps=1"])
    assert "probe" not in said and not (fitted.folder / "probe.safetensors").exists()


@pytest.mark.parametrize("changed", [(), ("data.target=label", "writer.start=probe")])
def test_so_does_a_generator_of_numbers_or_one_that_asks_for_it(settings: list[str], changed: tuple[str, ...]) -> None:
    fitted, said = said_by([*settings, "method=generator", *changed])
    assert "starts from a probe" in said and (fitted.folder / "probe.safetensors").exists()


@pytest.mark.parametrize("when", ["start", "finish"])
@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (("method=predictor",), "or writes none"),
        (("writer.normalise=vocabulary",), "whole vocabulary"),
        (("space.high=9999", "space.decimals=1", "director.kind=value"), "too many"),
        (("data.train_size=12",), "12 training rows"),
        (("peft.method=full",), "All weights learn"),
    ],
)
def test_where_there_can_be_none_asking_for_one_is_refused(
    settings: list[str], changed: tuple[str, ...], why: str, when: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"writer.{when}=probe cannot be had here(.|\n)*{why}"):
        said_by([*settings, *changed, f"writer.{when}=probe"])
    assert not (tmp_path / "run").exists(), "nothing was claimed, or overwritten"


def test_a_run_that_has_lost_its_probe_is_damaged(settings: list[str]) -> None:
    folder = said_by([*settings, "train.max_steps=1"])[0].folder
    path = folder / "probe.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-4] + b"\0\0\1\0")
    with pytest.raises(RunFolderError, match="not the one that the run was trained with"):
        load(folder)
    path.unlink()
    with pytest.raises(RunFolderError, match="is missing"):
        load(folder)


def test_a_run_that_goes_on_from_another_keeps_its_probe(settings: list[str], tmp_path: Path) -> None:
    before = said_by([*settings, "train.max_steps=1"])[0].folder
    config = load_config(assignments=[*settings, f"out={tmp_path / 'after'}", "train.max_steps=1"])
    after = fit(config, say=silent, start_from=before).folder
    assert settings_to_continue(after) == settings_to_continue(before)
    assert (after / "probe.safetensors").read_bytes() == (before / "probe.safetensors").read_bytes()


def test_exports_have_it(settings: list[str], tmp_path: Path) -> None:
    fitted, _ = said_by(settings)
    lines = list[str]()
    export(fitted.folder, tmp_path / "merged", merged=True, say=lines.append)
    export(fitted.folder, tmp_path / "adapter", merged=False, say=lines.append)
    assert any("add its `weight` to the output weights of its `tokens`" in line for line in lines)
    assert (tmp_path / "adapter" / "probe.safetensors").exists()

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    ids = tokenizer(TEXTS[0] + "\nAnswer:", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        merged = model(input_ids=ids).logits[:, -1]
        with fitted.run.method.writer.over_vocabulary():
            own = fitted.run.method.writer.prefill(ids, torch.ones_like(ids)).logits
    torch.testing.assert_close(merged, own, atol=1e-4, rtol=1e-4)
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["tie_word_embeddings"] is False


def test_starting_again_before_the_first_checkpoint_fits_it_again(
    settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = said_by(settings)[0]
    monkeypatch.setattr("predgen.training.fit._train", _interrupted)
    cut = [*settings, f"out={whole.folder}-cut"]
    with pytest.raises(KeyboardInterrupt):
        said_by(cut)
    monkeypatch.undo()
    resumed = fit(load_config(assignments=cut), say=silent, resume=True)
    for name in ("probe.safetensors", "adapter_model.safetensors"):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def _interrupted(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_the_card_says_that_the_adapter_is_not_all(settings: list[str], tmp_path: Path) -> None:
    cards = []
    for start in ("probe", "base"):
        out = f"out={tmp_path / start}"
        folder = said_by([*settings, "train.max_steps=1", f"writer.start={start}", out])[0].folder
        cards.append((folder / "README.md").read_text())
    assert ["probe.safetensors" in card for card in cards] == [True, False]
