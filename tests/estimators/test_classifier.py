from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from predgen.estimators import PredGenClassifier
from predgen.estimators.input_errors import InputError

from .conftest import LABELS, TEXTS

Make = Callable[..., PredGenClassifier]


def test_three_lines(classifier: Make) -> None:
    model = classifier(method="predgen", max_steps=25, batch_size=8, settings=["peft.target_modules=all-linear"])
    assert model.fit(TEXTS, LABELS) is model
    probabilities = model.predict_proba(TEXTS)
    assert probabilities.shape == (32, 2) and np.allclose(probabilities.sum(axis=1), 1)
    assert np.array_equal(model.predict_log_proba(TEXTS), np.log(probabilities))
    assert model.classes_.tolist() == ["bad", "good"]
    assert model.predict(TEXTS).dtype == LABELS.dtype
    # The texts say which it is.
    assert model.score(TEXTS, LABELS) > 0.9
    # What the run itself says.
    found = model.run_.predict(TEXTS)
    assert [each.prediction for each in found] == model.predict(TEXTS).tolist()
    assert found[3].probabilities["good"] == pytest.approx(probabilities[3, 1])
    assert model.predict_set(TEXTS, level=0.5).shape == (32, 2)
    assert any("2 labels" in note for note in model.notes_) and model.dev_result_["metric"] == "accuracy"


@pytest.mark.parametrize("labels", [[1, 2], [True, False], [1.0, 2.0], ["a", "b"]])
def test_labels_come_back_as_they_were(classifier: Make, labels: list[Any]) -> None:
    y = np.array([labels[n % 2] for n in range(32)])
    model = classifier().fit(pd.Series(TEXTS), pd.Series(y))
    assert np.array_equal(model.classes_, np.unique(y)) and set(model.predict(TEXTS)) <= set(labels)
    assert model.predict(TEXTS).dtype == model.classes_.dtype


def test_ordered_labels_keep_their_order_and_columns_the_classes(classifier: Make) -> None:
    grades = ["low", "middle", "high"]
    y = [grades[n % 2] for n in range(32)]
    model = classifier(labels=grades, ordered=True).fit(TEXTS, y)
    assert model.run_.space.labels == tuple(grades) and model.run_.space.ordered
    assert model.classes_.tolist() == ["high", "low", "middle"]
    shares = model.predict_proba(TEXTS[:1])[0]
    assert shares[1] == pytest.approx(model.run_.predict(TEXTS[:1])[0].probabilities["low"])
    with pytest.raises(InputError, match="unknown label 'bad'"):
        classifier(labels=grades).fit(TEXTS, LABELS)


def test_columns_under_a_template(classifier: Make) -> None:
    frame = pd.DataFrame({"title": TEXTS, "stars": range(32), "target": "shown"})
    model = classifier(template="{title} ({stars})").fit(frame, LABELS)
    assert model.run_.template == "{title} ({stars})" and model.run_.record.target == "target_"
    assert model.n_features_in_ == 3 and model.feature_names_in_.tolist() == ["title", "stars", "target"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["title"]])
    assert classifier().fit(frame[["title", "stars"]], LABELS).run_.template == "title: {title}\nstars: {stars}"


def config_of(model: PredGenClassifier) -> dict[str, Any]:
    return model.run_.record.config["train"]


def test_class_weights_and_sample_weights(classifier: Make) -> None:
    y = np.array([1, 1, 1, 2] * 8)
    dev = (TEXTS[:8], y[:8])  # so that all 32 rows train, whose balanced weights are 32 / (2 · 24) and 32 / (2 · 8)
    balanced = classifier(class_weight="balanced").fit(TEXTS, y, eval_set=dev)
    by_hand = classifier(class_weight={1: 2 / 3, 2: 2.0}).fit(TEXTS, y, eval_set=dev)
    by_row = classifier().fit(TEXTS, y, sample_weight=np.where(y == 1, 1.0, 3.0), eval_set=dev)
    plain = classifier().fit(TEXTS, y, eval_set=dev)
    assert config_of(balanced)["class_weights"] == "balanced" and config_of(by_hand)["class_weights"]["2"] == 2.0
    shares = [model.predict_proba(TEXTS) for model in (balanced, by_hand, by_row, plain)]
    assert np.allclose(shares[0], shares[1], atol=1e-5) and not np.allclose(shares[0], shares[3], atol=1e-3)
    assert np.allclose(shares[0], shares[2], atol=1e-5)
    for bad, words in (([1.0] * 31, "inconsistent"), ([0.0] * 32, "zero"), ([-1.0] * 32, "0 or above")):
        with pytest.raises(ValueError, match=words):
            classifier().fit(TEXTS, y, sample_weight=bad)


def test_an_eval_set_selects(classifier: Make) -> None:
    dev = (TEXTS[:12], LABELS[:12])
    model = classifier().fit(TEXTS, LABELS, eval_set=[dev])
    assert [model.run_.record.data[part]["rows"] for part in ("train", "dev", "test")] == [32, 12, 0]
    assert np.array_equal(
        model.predict_proba(TEXTS), classifier().fit(TEXTS, LABELS, eval_set=dev).predict_proba(TEXTS)
    )
    for bad, words in (([dev, dev, dev], "3 things"), ((TEXTS[:2], ["good", "new"]), "unknown label 'new'")):
        with pytest.raises(ValueError, match=words):
            classifier().fit(TEXTS, LABELS, eval_set=bad)


def test_warm_start_goes_on_from_the_weights(classifier: Make) -> None:
    model = classifier(max_steps=6).fit(TEXTS, LABELS)
    before = model.predict_proba(TEXTS)
    model.set_params(warm_start=True, max_steps=1, learning_rate=1e-9).fit(TEXTS[:20], LABELS[:20])
    assert np.allclose(model.predict_proba(TEXTS), before, atol=1e-5)
    assert any("Starting from the weights" in note for note in model.notes_)
    with pytest.raises(InputError, match="unknown label 'new'"):
        model.fit(TEXTS[:20], ["new", "good"] * 10)
    cold = model.set_params(warm_start=False).fit(TEXTS, LABELS)
    assert not np.allclose(cold.predict_proba(TEXTS), before, atol=1e-3)


def test_a_fit_that_fails_leaves_the_estimator_as_it_was(classifier: Make) -> None:
    model, other = classifier().fit(TEXTS, LABELS), ["up", "down"] * 16
    before, attributes = model.predict_proba(TEXTS), set(vars(model))
    with pytest.raises(ValueError, match="Row 2 is empty"):
        model.fit([*TEXTS[:2], " ", *TEXTS[3:]], other)
    with pytest.raises(ValueError, match="max_steps"):
        model.set_params(max_steps=-1).fit(pd.DataFrame({"x": TEXTS, "n": range(32)}), other)
    assert model.classes_.tolist() == ["bad", "good"] and set(vars(model)) == attributes
    assert np.array_equal(model.predict_proba(TEXTS), before)


def test_errors_are_scikit_learns(classifier: Make) -> None:
    with pytest.raises(NotFittedError):
        classifier().predict(TEXTS)
    with pytest.raises(ValueError, match="1 class"):
        classifier().fit(TEXTS, ["good"] * 32)
    with pytest.raises(ValueError, match="row 3"):
        classifier().fit(TEXTS, ["good", "bad", "good", None] * 8)
    with pytest.raises(ValueError, match="Row 2 is empty"):
        classifier().fit([*TEXTS[:2], " ", *TEXTS[3:]], LABELS)
    with pytest.raises(ValueError, match="Unknown PEFT method 'loar'"):
        classifier(peft="loar").fit(TEXTS, LABELS)
    model = classifier().fit(TEXTS, LABELS)
    with pytest.raises(ValueError, match=r"1 of 2 rows cannot be read.*is empty"):
        model.predict(["good", " "])


def test_seeds(classifier: Make) -> None:
    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    first = classifier(random_state=3).fit(TEXTS, LABELS)
    assert np.random.random() == expected, "training must leave the global generators alone"
    assert first.run_.record.config["train"]["seed"] == 3
    drawn = classifier(random_state=np.random.RandomState(0)).fit(TEXTS, LABELS).run_.record.config["train"]["seed"]
    assert drawn == np.random.RandomState(0).randint(2**31 - 1)
