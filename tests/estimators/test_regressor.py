from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from predgen.estimators import PredGenRegressor

from .conftest import RATINGS, TEXTS

Make = Callable[..., PredGenRegressor]


def test_numbers_intervals_and_quantiles(regressor: Make) -> None:
    model = regressor(method="predgen", low=-3, high=3).fit(TEXTS, RATINGS)
    assert model.run_.space.low == -3 and model.run_.space.high == 3
    found = model.run_.predict(TEXTS)
    assert np.array_equal(model.predict(TEXTS), [each.prediction for each in found])
    assert model.score(TEXTS, RATINGS) <= 1
    ends = model.predict_interval(TEXTS)
    assert ends.shape == (32, 2) and (ends[:, 0] <= model.predict(TEXTS)).all()
    assert np.array_equal(ends, [each.interval for each in found])
    wide, narrow = (model.predict_interval(TEXTS, level, interval="central") for level in (0.9, 0.5))
    assert (wide[:, 1] - wide[:, 0] >= narrow[:, 1] - narrow[:, 0]).all()
    quantiles = model.predict_quantile(TEXTS, [0.05, 0.5, 0.95])
    assert quantiles.shape == (32, 3) and np.array_equal(quantiles[:, [0, 2]], wide)
    assert not hasattr(model, "predict_proba")


def test_a_head_has_no_posterior(regressor: Make) -> None:
    model = regressor().fit(TEXTS, RATINGS.astype(np.float32))
    assert model.run_.space.decimals == 1, "float32's 0.1 has one decimal"
    with pytest.raises(ValueError, match="posterior"):
        model.predict_quantile(TEXTS, [0.5])


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([1.0, float("nan")] * 16, "NaN"),
        (["a", "b"] * 16, "could not convert"),
        ([1.0] * 31, "inconsistent"),
        (None, "y"),
    ],
)
def test_targets_that_are_no_numbers(regressor: Make, y: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        regressor().fit(TEXTS, y)
