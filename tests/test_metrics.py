from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.errors import ConfigError
from predgen.metrics import (
    baseline_metrics,
    better,
    check_metric,
    classification_metrics,
    crps,
    interval_metrics,
    quadratic_kappa,
    regression_metrics,
)


def test_classification_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
    scores = classification_metrics(["a", "a", "a", "b"], ["a", "a", "b", "b"], probabilities, ["a", "b"])
    assert scores["accuracy"] == 0.75
    assert scores["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)  # a: P 1, R 2/3; b: P 1/2, R 1
    assert scores["log_loss"] == pytest.approx(-(math.log(0.9) + math.log(0.6) + math.log(0.3) + math.log(0.8)) / 4)
    # one row a bin: |1 − .9|, |1 − .6|, |0 − .7|, |1 − .8|
    assert scores["ece"] == pytest.approx((0.1 + 0.4 + 0.7 + 0.2) / 4)


def test_rows_of_one_bin_are_averaged_before_they_are_compared() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05]])
    scores = classification_metrics(["a", "b"], ["a", "a"], probabilities, ["a", "b"])
    assert scores["ece"] == pytest.approx(0.45)  # accuracy ½ against confidence .95


def test_a_label_that_truth_lacks_does_not_matter() -> None:
    probabilities = np.array([[0.5, 0.25, 0.25]])
    scores = classification_metrics(["a"], ["a"], probabilities, ["a", "b", "c"])
    assert scores["log_loss"] == pytest.approx(math.log(2))
    assert scores["macro_f1"] == 1.0


def test_regression_by_hand() -> None:
    scores = regression_metrics([1.0, 2.0, 3.0], [1.0, 3.0, 5.0])
    assert scores["mae"] == pytest.approx(1.0)
    assert scores["mse"] == pytest.approx(5 / 3)
    assert scores["rmse"] == pytest.approx(math.sqrt(5 / 3))
    assert scores["r2"] == pytest.approx(1 - 5 / 2)
    assert scores["pearson"] == pytest.approx(1.0)
    assert scores["spearman"] == pytest.approx(1.0)


def test_ties_share_their_rank() -> None:
    assert regression_metrics([1, 2, 3, 4], [1, 2, 2, 3])["spearman"] == pytest.approx(0.9486833)


def test_a_constant_has_no_correlation() -> None:
    scores = regression_metrics([1.0, 2.0, 4.0], [0.3, 0.3, 0.3])
    assert math.isnan(scores["pearson"])
    assert math.isnan(scores["spearman"])
    assert math.isnan(regression_metrics([1.0, 1.0], [1.0, 2.0])["r2"])
    assert math.isnan(regression_metrics([0.1, 0.1, 0.1], [0.2, 0.1, 0.1])["r2"])  # whose mean is not quite 0.1


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_correlations_do_not_depend_on_the_unit(unit: float) -> None:
    scores = regression_metrics([1 * unit, 2 * unit, 4 * unit], [1 * unit, 3 * unit, 3 * unit])
    assert scores["pearson"] == pytest.approx(np.corrcoef([1, 2, 4], [1, 3, 3])[0, 1])
    assert scores["r2"] == pytest.approx(1 - 2 / (14 / 3))


def test_intervals_count_their_ends() -> None:
    scores = interval_metrics([1.0, 2.0, 3.0], [1.0, 2.5, 0.0], [2.0, 3.5, 3.0])
    assert scores["coverage"] == pytest.approx(2 / 3)
    assert scores["width"] == pytest.approx(5 / 3)


def test_baselines_come_from_the_training_targets() -> None:
    numbers = baseline_metrics({"mean": 2.0, "median": 1.0}, [1.0, 3.0])
    assert (numbers["mean"]["mae"], numbers["median"]["mse"]) == (1.0, 2.0)
    classes = baseline_metrics({"shares": {"a": 0.75, "b": 0.25}}, ["a", "b"])["majority"]
    assert classes["accuracy"] == 0.5
    assert classes["log_loss"] == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)


def test_nan_loses_to_any_number() -> None:
    assert better("mae", 1.0, 2.0)
    assert better("pearson", 0.2, 0.1)
    assert better("pearson", -1.0, math.nan)
    assert not better("pearson", math.nan, -1.0)


def test_a_metric_of_the_other_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="accuracy, ece, log_loss, macro_f1"):
        check_metric("mae", LabelSet(("a", "b")))
    with pytest.raises(ConfigError, match="exact_match is a metric of free numbers"):
        check_metric("exact_match", NumberGrid(0, 5, 1))
    with pytest.raises(ConfigError, match="labels that are numbers"):
        check_metric("quadratic_kappa", LabelSet(("a", "b")))


def test_exact_match_by_hand() -> None:
    """Off by less than 1e-4."""
    scores = regression_metrics([1.0, 2.0, 3.0, 4.0], [1.0, 2.00009, 3.0002, 5.0], exact=True)
    assert scores["exact_match"] == 0.5
    assert "exact_match" not in regression_metrics([1.0, 2.0], [1.0, 2.0])
    assert baseline_metrics({"mode": 3.0}, [3.0, 4.0])["mode"]["exact_match"] == 0.5


def test_chance_corrected_metrics_by_hand() -> None:
    probabilities = np.full((6, 2), 0.5)
    truth, predicted = ["a"] * 4 + ["b"] * 2, ["a", "a", "a", "b", "b", "a"]
    scores = classification_metrics(truth, predicted, probabilities, ["a", "b"])
    assert scores["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    # a positive: TP 3, FN 1, FP 1, TN 1 → (3·1 − 1·1) / √(4·4·2·2)
    assert scores["mcc"] == pytest.approx(2 / 8)
    assert math.isnan(scores["quadratic_kappa"])


def test_quadratic_kappa_is_scikit_learns() -> None:
    from sklearn.metrics import cohen_kappa_score

    chance = np.random.default_rng(0)
    truth, predicted = (chance.integers(1, 6, 200) for _ in range(2))
    predicted = np.where(chance.random(200) < 0.6, truth, predicted)
    ours = quadratic_kappa([str(value) for value in truth], [str(value) for value in predicted])
    assert ours == pytest.approx(cohen_kappa_score(truth, predicted, weights="quadratic"))
    assert math.isnan(quadratic_kappa(["3", "3"], ["3", "3"]))
    assert math.isnan(quadratic_kappa(["0.1"] * 3, ["0.1"] * 3))


def test_quadratic_kappa_takes_no_square_of_the_rows() -> None:
    truth, predicted = (np.random.default_rng(seed).integers(0, 2, 20_000).astype(str).tolist() for seed in (0, 1))
    tracemalloc.start()
    quadratic_kappa(truth, predicted)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * 2**20


def test_quadratic_kappa_of_ordered_labels_goes_by_their_places() -> None:
    labels, probabilities = ("poor", "fair", "good"), np.full((4, 3), 1 / 3)
    truth, predicted = ["poor", "fair", "good", "good"], ["poor", "good", "good", "fair"]
    check_metric("quadratic_kappa", LabelSet(labels, ordered=True))
    found = classification_metrics(truth, predicted, probabilities, labels, ordered=True)["quadratic_kappa"]
    assert found == pytest.approx(quadratic_kappa(["0", "1", "2", "2"], ["0", "2", "2", "1"]))
    assert math.isnan(classification_metrics(truth, predicted, probabilities, labels)["quadratic_kappa"])


def test_crps_by_hand_and_by_its_integral() -> None:
    values = np.array([0.0, 1.0, 3.0])
    assert crps([1.0], np.array([[0.0, 0.0, 1.0]]), values) == pytest.approx(2.0)  # without spread: the absolute error
    probabilities = np.array([[0.2, 0.5, 0.3]])
    # ∫ (F(x) − 1{x ≥ 2})² dx = 0.2² · 1 + 0.7² · 1 + 0.3² · 1
    assert crps([2.0], probabilities, values) == pytest.approx(0.04 + 0.49 + 0.09)
