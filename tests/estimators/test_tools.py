"""scikit-learn's own tools with the estimators in them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from predgen.estimators import PredGenClassifier, PredGenRegressor

from .conftest import LABELS, RATINGS, TEXTS

Make = Callable[..., PredGenClassifier]


def test_cross_validation(regressor: Callable[..., PredGenRegressor]) -> None:
    scores = cross_val_score(regressor(), TEXTS, RATINGS, cv=2, scoring="neg_mean_absolute_error")
    assert scores.shape == (2,) and (scores < 0).all() and scores[0] != scores[1]


def test_a_grid(classifier: Make) -> None:
    grid = {"learning_rate": [1e-9, 0.05], "settings": [["train.clip=0.5"]]}
    search = GridSearchCV(classifier(max_steps=12), grid, cv=2, scoring="neg_log_loss", error_score="raise")
    search.fit(np.array(TEXTS), LABELS)
    assert search.best_params_ == {"learning_rate": 0.05, "settings": ["train.clip=0.5"]}
    assert search.best_estimator_.run_.record.config["train"]["clip"] == 0.5
    assert search.predict(TEXTS).shape == (32,)


def test_a_pipeline(classifier: Make) -> None:
    def shout(texts: list[str]) -> list[str]:
        return [text.upper() for text in texts]

    steps = Pipeline([("shout", FunctionTransformer(shout)), ("model", classifier())])
    steps.set_params(model__max_steps=3).fit(TEXTS, LABELS)
    assert np.array_equal(steps.predict_proba(TEXTS), steps["model"].predict_proba(shout(TEXTS)))
    assert not np.array_equal(steps.predict_proba(TEXTS), steps["model"].predict_proba(TEXTS))


def test_calibration(classifier: Make) -> None:
    model = CalibratedClassifierCV(classifier(), cv=2, ensemble=False).fit(TEXTS, LABELS)
    shares = model.predict_proba(TEXTS)
    assert np.allclose(shares.sum(axis=1), 1) and model.classes_.tolist() == ["bad", "good"]


@pytest.mark.parametrize("weigh", [True, False])
def test_a_tuned_threshold(classifier: Make, weigh: bool) -> None:
    y = np.where(LABELS == "good", 1, 0)
    model = TunedThresholdClassifierCV(classifier(max_steps=8), cv=2, scoring="balanced_accuracy", refit=weigh)
    if not weigh:
        model.set_params(cv=0.5)
    model.fit(TEXTS, y)
    shares = model.estimator_.predict_proba(TEXTS)[:, 1]
    assert np.array_equal(model.predict(TEXTS), (shares >= model.best_threshold_).astype(int))
