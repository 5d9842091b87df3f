from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.config_reading import load_config
from predgen.loading import load_single as load
from predgen.run import Run
from predgen.training.fit import fit

WORDS = ("good", "very good", "bad", "terrible", "liked it", "simply bad")


@pytest.fixture(scope="session")
def shop(
    tmp_path_factory: pytest.TempPathFactory, _llama_once: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> Path:
    """A tiny base, and 260 rows whose label and rating follow from their words."""
    folder = tmp_path_factory.mktemp("information")
    _llama_once.save_pretrained(folder / "base")
    byte_level.save_pretrained(folder / "base")
    rows = []
    for number in range(260):
        words = WORDS[number * 7 % len(WORDS)]
        positive = words in ("good", "very good", "liked it")
        rating = round((1 if positive else -1) * (1 + number % 5 * 0.3), 1)
        rows.append(
            {"text": f"The film {number} was {words}.", "label": "good" if positive else "bad", "rating": rating}
        )
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture(scope="session")
def run_folder(shop: Path) -> Callable[..., Path]:
    """Fits a method on a target for a few steps, once a session for the same request."""
    made: dict[tuple[str, ...], Path] = {}

    def make(method: str, target: str, *assignments: str) -> Path:
        key = (method, target, *assignments)
        if key not in made:
            out = shop / f"run-{len(made)}"
            config = load_config(
                assignments=[
                    f"method={method}",
                    f"data.source={shop / 'rows.jsonl'}",
                    "data.text=text",
                    f"data.target={target}",
                    "data.train_size=40",
                    "data.dev_size=10",
                    "data.test_size=0",
                    f"model.name={shop / 'base'}",
                    f"out={out}",
                    "train.max_steps=6",
                    "train.batch_size=5",
                    "train.evaluations=1",
                    "train.learning_rate=0.01",
                    *assignments,
                ]
            )
            fit(config, say=lambda line: None)
            made[key] = out
        return made[key]

    return make


@pytest.fixture(scope="session")
def several(run_folder: Callable[..., Path]) -> Callable[..., Path]:
    """A run of a record of label and rating, or of a yes or no for each label."""
    targets = {"record": ("[label, rating]",), "multilabel": ("label", "task=multilabel", "data.separator=;")}
    return lambda method, kind: run_folder(method, *targets[kind])


@pytest.fixture(scope="session")
def loaded(run_folder: Callable[..., Path]) -> Callable[..., Run]:
    """The same, loaded."""
    made: dict[tuple[str, ...], Run] = {}

    def make(method: str, target: str, *assignments: str) -> Run:
        key = (method, target, *assignments)
        made.setdefault(key, load(run_folder(*key)))
        return made[key]

    return make
