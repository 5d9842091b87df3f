"""predgen: labels and numbers from text, by generating them.

    import predgen
    run = predgen.fit(predgen.load_config(assignments=["data.source=reviews.csv", "train.epochs=2"])).run
    run = predgen.load("runs/reviews-predgen")
    run.predict(["A film to remember."])

    model = predgen.PredGenClassifier().fit(texts, labels)  # scikit-learn's interface

The public names load on first use, so that importing predgen costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from predgen.config import RunConfig
    from predgen.config_reading import load_config
    from predgen.decoding.options import PredictOptions
    from predgen.errors import PredgenError
    from predgen.estimators import PredGenClassifier, PredGenRegressor
    from predgen.loading import load
    from predgen.prediction import (
        LabelPrediction,
        LabelsPrediction,
        NumberPrediction,
        Prediction,
        RecordPrediction,
        RowError,
    )
    from predgen.record_run import RecordRun
    from predgen.run import Run
    from predgen.training.fit import Fitted, fit

_HOMES = {
    "RunConfig": "predgen.config",
    "load_config": "predgen.config_reading",
    "PredgenError": "predgen.errors",
    "LabelPrediction": "predgen.prediction",
    "NumberPrediction": "predgen.prediction",
    "PredictOptions": "predgen.decoding.options",
    "PredGenClassifier": "predgen.estimators",
    "PredGenRegressor": "predgen.estimators",
    "Prediction": "predgen.prediction",
    "LabelsPrediction": "predgen.prediction",
    "RecordPrediction": "predgen.prediction",
    "RecordRun": "predgen.record_run",
    "RowError": "predgen.prediction",
    "Run": "predgen.run",
    "load": "predgen.loading",
    "Fitted": "predgen.training.fit",
    "fit": "predgen.training.fit",
}

__all__ = [
    "Fitted",
    "LabelPrediction",
    "LabelsPrediction",
    "NumberPrediction",
    "PredGenClassifier",
    "PredGenRegressor",
    "PredgenError",
    "PredictOptions",
    "Prediction",
    "RecordPrediction",
    "RecordRun",
    "RowError",
    "Run",
    "RunConfig",
    "fit",
    "load",
    "load_config",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'predgen' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
