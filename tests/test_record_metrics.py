from __future__ import annotations

import math

import numpy as np
import pytest

from predgen.errors import ConfigError
from predgen.record_metrics import (
    checked_metric,
    field_loss,
    label_matrix,
    multilabel_baseline,
    multilabel_metrics,
    skill,
)

TRUTH = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 0]], dtype=bool)
CHOSEN = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 0]], dtype=bool)
PROBABILITIES = np.array([[0.9, 0.2, 0.4], [0.1, 0.7, 0.6], [0.1, 0.2, 0.3], [0.8, 0.9, 0.1]])


def test_skill_is_the_mean_share_of_the_constants_loss_that_is_gone() -> None:
    assert skill([0.1, 1.0], [0.4, 2.0]) == pytest.approx((0.75 + 0.5) / 2)
    assert skill([0.4, 2.0], [0.4, 2.0]) == 0
    assert skill([0.0, 3.0], [0.0, 2.0]) == pytest.approx(-0.5)  # a field that a constant solves says nothing
    assert math.isnan(skill([0.0], [0.0]))
    assert field_loss({"accuracy": 0.75}) == 0.25 and field_loss({"mae": 0.5, "mse": 9.0}) == 0.5


def test_multilabel_metrics_by_hand() -> None:
    metrics = multilabel_metrics(TRUTH, CHOSEN, PROBABILITIES)
    assert metrics["micro_f1"] == pytest.approx(2 * 4 / (5 + 5))  # 4 hits, 5 true, 5 chosen
    assert metrics["macro_f1"] == pytest.approx((1 + 1 + 0) / 3)
    assert metrics["subset_accuracy"] == 0.5
    assert metrics["hamming_loss"] == pytest.approx(2 / 12)
    # Row 0: ranks 1 and 2 of 2 labels: (1/1 + 2/2) / 2; row 1: 1; row 3: ranks 2 and 1: (1 + 1) / 2; row 2 has none.
    assert metrics["ranking_precision"] == pytest.approx(1.0)
    likelihood = np.where(TRUTH, PROBABILITIES, 1 - PROBABILITIES)
    assert metrics["log_loss"] == pytest.approx(-np.log(likelihood).mean())


def test_a_worse_ranking_has_a_lower_precision() -> None:
    turned = multilabel_metrics(TRUTH, CHOSEN, 1 - PROBABILITIES)["ranking_precision"]
    # Row 0: labels 0 and 2 rank third and second: (1/2 + 2/3) / 2; row 1: third of three; row 3: second and third.
    assert turned == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1 / 3 + (1 / 2 + 2 / 3) / 2) / 3)


def test_of_no_label_at_all_ranks_and_means_are_undefined() -> None:
    none = np.zeros((3, 2), dtype=bool)
    metrics = multilabel_metrics(none, none, np.full((3, 2), 0.1))
    assert math.isnan(metrics["macro_f1"]) and math.isnan(metrics["ranking_precision"])
    assert metrics["subset_accuracy"] == 1 and metrics["micro_f1"] == 0


def test_the_baseline_says_for_each_label_what_most_rows_say() -> None:
    metrics = multilabel_baseline([0.9, 0.2, 0.1], TRUTH)["majority"]
    assert metrics["hamming_loss"] == pytest.approx((2 + 2 + 1) / 12)


def test_columns_become_a_matrix_of_rows() -> None:
    assert label_matrix([[True, False], [True, True]]).tolist() == [[True, True], [False, True]]


def test_a_metric_of_another_kind_is_refused() -> None:
    assert checked_metric(None, "record") == "skill" and checked_metric("log_loss", "multilabel") == "log_loss"
    with pytest.raises(ConfigError, match="'mae' is no metric of a record run"):
        checked_metric("mae", "record")
