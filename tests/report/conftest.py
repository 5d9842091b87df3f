"""Runs on a tiny model, of each kind of answer, and their reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import predgen

SCRIPT = "<script>alert(1)</script>"
HOSTILE = f"{SCRIPT} & \u202eevil\u202c \x00 <b style='color:red'>bold</b> \" ' {{{{ page }}}} good"
WORDS = {"good": ("good", "very good", "liked it a lot"), "bad": ("bad", "terrible", "simply bad")}
KINDS = {
    "label": ["data.target=label"],
    "rating": ["data.target=rating", "method=generator"],
    "head": ["data.target=rating", "method=predictor"],
    "free": ["data.target=rating", "space.kind=free"],
    "record": ["data.target=[label,rating]", "method=predictor"],
    "tags": ["data.target=tags", "task=multilabel"],
}


@pytest.fixture(scope="session")
def rows() -> list[dict[str, object]]:
    """Rows with everything that a page must survive."""
    made = []
    for n in range(150):
        label = ("good", "bad")[n % 2]
        text = f"The film {n} was {WORDS[label][n % 3]}."
        if n % 5 == 0:
            text = f"{n} {HOSTILE}"
        if n % 50 == 1:
            text = f"{n} " + "long " * 20_000
        if n % 11 == 0:
            label = "bad" if label == "good" else "good"
        rating = (1 if label == "good" else -1) + n % 7 / 10
        tags = [label, *(["<i>long</i>"] if len(text) > 40 else [])]
        lang = ("en", "<b>de</b>", "")[n % 3]
        made.append({"text": text, "label": label, "rating": rating, "tags": tags, "lang": lang})
    return made


@pytest.fixture(scope="session")
def shop(
    tmp_path_factory: pytest.TempPathFactory,
    _llama_once: PreTrainedModel,
    byte_level: PreTrainedTokenizerFast,
    rows: list[dict[str, object]],
) -> Path:
    """A tiny base, the rows as a file, and a fitted run of each kind."""
    folder = tmp_path_factory.mktemp("report")
    _llama_once.save_pretrained(folder / "base")
    byte_level.save_pretrained(folder / "base")
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    shared = [
        f"data.source={folder / 'rows.jsonl'}", "data.text=text", f"model.name={folder / 'base'}",
        "data.train_size=50", "data.dev_size=50", "data.test_size=50", "prompt.max_tokens=64",
        "train.max_steps=4", "train.evaluations=1", "train.learning_rate=0.01",
    ]  # fmt: skip
    for name, own in KINDS.items():
        config = predgen.load_config(assignments=[*shared, *own, f"out={folder / name}"])
        predgen.fit(config, say=lambda line: None)
    return folder
