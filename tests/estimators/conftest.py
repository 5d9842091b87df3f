from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
from accelerate import accelerator

from predgen.estimators import PredGenClassifier, PredGenRegressor
from predgen.training import course
from predgen.training.estimate import Estimate

WORDS = ("good", "bad", "very good", "terrible")
TEXTS = [f"The film {n} was {WORDS[n % 4]}" for n in range(32)]
LABELS = np.array([("good", "bad")[n % 2] for n in range(32)])
RATINGS = np.array([round((-1) ** n * (n % 5) / 2, 1) for n in range(32)])


@pytest.fixture(scope="module", autouse=True)
def light() -> Iterator[None]:
    """Leaves out what takes most of a tiny fit's time: estimates and peft's model card, which have tests of their own,
    and the Trainer's collection of garbage, which goes through all that the session holds.
    """
    patch = pytest.MonkeyPatch()
    patch.setattr(course, "_estimate", lambda *arguments: Estimate(0.0, 0.0, 0, 0, arguments[4]))
    patch.setattr(peft.PeftModel, "create_or_update_model_card", lambda self, folder: None)
    patch.setattr(accelerator, "release_memory", lambda *objects: [None] * len(objects))
    yield
    patch.undo()


@pytest.fixture
def small(tiny_base: Path) -> dict[str, Any]:
    """Arguments of a fit that takes half a second."""
    return {"model": str(tiny_base), "method": "predictor", "max_steps": 2, "evaluations": 1, "learning_rate": 0.01}


@pytest.fixture
def classifier(small: dict[str, Any]) -> Callable[..., PredGenClassifier]:
    """Makes a small classifier."""
    return lambda **arguments: PredGenClassifier(**{**small, **arguments})


@pytest.fixture
def regressor(small: dict[str, Any]) -> Callable[..., PredGenRegressor]:
    """Makes a small regressor."""
    return lambda **arguments: PredGenRegressor(**{**small, **arguments})
