from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from predgen.metrics import regression_metrics
from predgen.reproduce.resamples import draw, pack

Record = dict[str, Any]
FINGERPRINT = "ab" * 32


def make_record(
    method: str = "predgen",
    seed: int = 0,
    errors: Any = (0.1, -0.2, 0.3),
    task: str = "stsb",
    rows: str = "stsb/test",
    variant: str = "",
    fingerprint: str = FINGERPRINT,
    decision: str = "mean",
    rates: tuple[float, ...] = (0.001,),
    model: str = "smollm2-135m",
    scale: str = "cpu",
) -> Record:
    """A finished cell whose errors on the scored rows are given."""
    wrong = np.asarray(errors, dtype=float)
    truth = np.linspace(0, 5, len(wrong))
    got = truth + wrong
    full = {decision: regression_metrics(truth.tolist(), got.tolist())}
    draws = draw(fingerprint, len(wrong), 200)
    with np.errstate(invalid="ignore"):  # three rows may be three times the same
        correlations = np.array([np.corrcoef(truth[chosen], got[chosen])[0, 1] for chosen in draws])
    resampled = {
        decision: {
            "mae": np.abs(wrong)[draws].mean(axis=1),
            "mse": (wrong**2)[draws].mean(axis=1),
            "pearson": correlations,
        }
    }
    facts = {"task": task, "model": model, "peft": "lora", "method": method, "variant": variant}
    return {
        "format": 1,
        "id": f"{scale}_{task}_{method}_{variant}_{seed}",
        "cell": {**facts, "seed": seed, "scale": scale, "changed": [], "rates": []},
        "seconds": 100.0,
        "rates": [{"learning_rate": rate} for rate in rates],
        "digest": "d" * 64,
        "dev": {"metric": "pearson"},
        "reports": {
            rows: {
                "fingerprint": fingerprint,
                "selected_on": False,
                "rows": len(wrong),
                "decision": decision,
                "decisions": full,
                "notes": ["of these rows"],
                "also_in_train": 7,
                "baseline": {"mean": {"mae": 1.5, "mse": 3.0, "pearson": None}},
            }
        },
        "resamples": {"count": 200, "values": {rows: pack(resampled, full)}},
    }


@pytest.fixture
def record() -> Callable[..., Record]:
    """Makes a finished cell."""
    return make_record
