from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.config_reading import load_config
from predgen.training.fit import Fitted, fit

METHODS = ("predgen", "generator", "predictor")
TASKS = ("classification", "regression")
WORDS = ["good", "very good", "bad", "terrible", "not good", "liked it", "simply bad"]


def make_rows(count: int = 48) -> list[dict[str, object]]:
    """Short reviews with a label and a rating that follow from their words."""
    made = []
    for number in range(count):
        words = WORDS[number % len(WORDS)]
        positive = words in ("good", "very good", "liked it")
        rating = round((1 if positive else -1) * (1 + number % 5 * 0.3), 1)
        made.append(
            {
                "text": f"The film {number} was {words}",
                "label": "good" if positive else "bad",
                "rating": rating,
                "importance": 1 + number % 3,
            }
        )
    return made


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def rows() -> list[dict[str, object]]:
    return make_rows()


@pytest.fixture(scope="session")
def more_rows() -> list[dict[str, object]]:
    """Enough to calibrate on some of them."""
    return make_rows(70)


@pytest.fixture(scope="session")
def workshop(
    tmp_path_factory: pytest.TempPathFactory,
    _llama_once: PreTrainedModel,
    byte_level: PreTrainedTokenizerFast,
    rows: list[dict[str, object]],
) -> Path:
    """A tiny base on disk, rows on disk, and a cache of its own."""
    folder = tmp_path_factory.mktemp("workshop")
    _llama_once.save_pretrained(folder / "base")
    byte_level.save_pretrained(folder / "base")
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture
def settings(workshop: Path, tmp_path: Path) -> list[str]:
    """Assignments of a run that takes a second or two; what is appended wins."""
    return [
        f"data.source={workshop / 'rows.jsonl'}",
        "data.text=text",
        "data.target=rating",
        "data.dev_size=8",
        "data.test_size=10",
        f"model.name={workshop / 'base'}",
        f"out={tmp_path / 'run'}",
        "train.max_steps=12",
        "train.batch_size=5",
        "train.evaluations=3",
        "train.learning_rate=0.01",
    ]


@pytest.fixture(scope="session")
def fitted(workshop: Path) -> Callable[..., Fitted]:
    """Fits a method on a task, once a session for the same request."""
    made: dict[tuple[str, ...], Fitted] = {}

    def make(method: str, task: str, *assignments: str) -> Fitted:
        key = (method, task, *assignments)
        if key not in made:
            config = load_config(
                assignments=[
                    f"method={method}",
                    f"data.source={workshop / 'rows.jsonl'}",
                    f"data.target={'label' if task == 'classification' else 'rating'}",
                    "data.text=text",
                    "data.dev_size=8",
                    "data.test_size=10",
                    f"model.name={workshop / 'base'}",
                    f"out={workshop / '-'.join([method, task, str(len(made))])}",
                    "train.epochs=2",
                    "train.batch_size=5",
                    "train.evaluations=3",
                    "train.learning_rate=0.01",
                    *assignments,
                ]
            )
            made[key] = fit(config, say=lambda line: None)
        return made[key]

    return make
