"""scikit-learn estimators over the same fit path as `predgen fit`."""

from __future__ import annotations

from predgen.estimators.classifier import PredGenClassifier
from predgen.estimators.regressor import PredGenRegressor

__all__ = ["PredGenClassifier", "PredGenRegressor"]
