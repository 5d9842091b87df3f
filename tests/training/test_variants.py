"""Every part of the method, fitted end to end on a tiny model and read back from its folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

import predgen
from predgen.config_reading import load_config
from predgen.training.fit import Fitted, fit


@pytest.mark.parametrize(
    ("task", "assignments"),
    [
        ("classification", "profile=released"),
        ("regression", "profile=released"),
        ("classification", "director.pooling=attention sampling.mode=parallel sampling.schedule=exponential"),
        ("regression", "director.pooling=last director.error=huber loss=adaptive sampling.own=sample"),
        ("regression", "director.kind=expected writer.normalise=space loss=sum"),
        ("regression", "director.kind=crps loss=sum"),
        ("regression", "director.kind=ntloss loss=product sampling.schedule=inverse_sigmoid"),
        ("classification", "profile=director_led"),
        ("regression", "profile=director_led"),
        ("classification", "loss=writer_only"),
        ("regression", "loss=director_only director.error=absolute sampling.mode=batch"),
    ],
)
def test_every_part_of_the_method_fits_and_reloads(fitted: Callable[..., Fitted], task: str, assignments: str) -> None:
    run = fitted("predgen", task, "train.max_steps=3", "train.evaluations=1", *assignments.split())
    texts = ["The film was good", "simply bad"]
    assert predgen.load(run.folder).predict(texts) == run.run.predict(texts)


def test_the_released_profile_is_recorded_in_full(fitted: Callable[..., Fitted]) -> None:
    run = fitted("predgen", "regression", "train.max_steps=3", "train.evaluations=1", "profile=released")
    config = load_config(run.folder / "config.yaml")
    assert (config.profile, config.loss_of, config.writer.loss_over) == ("released", "batch", "all")
    assert (config.sampling.mode, config.sampling.own, config.director.kind) == ("batch", "free", "ordered_released")


@pytest.mark.parametrize("method", ["predgen", "generator", "predictor"])
def test_a_run_through_a_chat_template_reloads(
    fitted: Callable[..., Fitted], workshop: Path, byte_level: PreTrainedTokenizerFast, tmp_path: Path, method: str
) -> None:
    base = tmp_path / "base"
    shutil.copytree(workshop / "base", base)
    tokenizer = byte_level.__class__.from_pretrained(base)
    tokenizer.chat_template = "{% for m in messages %}user\n{{ m.content }}<|end|>\n{% endfor %}{{ 'model\n' }}"
    tokenizer.save_pretrained(base)
    said: list[str] = []
    config = load_config(
        assignments=[
            f"data.source={workshop / 'rows.jsonl'}",
            "data.target=label",
            f"model.name={base}",
            f"method={method}",
            "prompt.chat=auto",
            f"out={tmp_path / 'run'}",
            "train.max_steps=2",
            "train.evaluations=1",
        ]
    )
    run = fit(config, say=said.append).run
    assert any("chat template" in line for line in said)
    ids = run.encoder("The film was good").ids
    assert tokenizer.decode(ids) == "user\nThe film was good\nAnswer:<|end|>\nmodel\n"
    again = predgen.load(tmp_path / "run")
    assert again.encoder("The film was good").ids == ids
    assert again.predict(["simply bad"]) == run.predict(["simply bad"])
