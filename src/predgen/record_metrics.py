"""How good several answers to a row are, together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from predgen.errors import ConfigError, nearest

Floats = NDArray[np.float64]
# What can select a run with several answers; the first is the default.
METRICS_OF: dict[str, tuple[str, ...]] = {
    "record": ("skill",),
    "multilabel": ("micro_f1", "macro_f1", "subset_accuracy", "hamming_loss", "ranking_precision", "log_loss"),
}


def checked_metric(metric: str | None, kind: str) -> str:
    """The metric that selects, or compares, runs with several answers.

    Args:
        metric: As asked; None: the default.
        kind: "record" or "multilabel".

    Raises:
        ConfigError: If it does not measure such answers; the message lists those that do.
    """
    fitting = METRICS_OF[kind]
    if metric is not None and metric not in fitting:
        raise ConfigError(f"{metric!r} is no metric of a {kind} run:", nearest(metric, fitting))
    return metric or fitting[0]


def skill(losses: Sequence[float], constants: Sequence[float]) -> float:
    """The mean over fields of 1 − loss / the best constant's loss: 1 is perfect, 0 is what a constant reaches.

    It lets fields of different units be averaged, as R² would for numbers alone.

    Args:
        losses: Of each field its error rate, or its mean absolute error.
        constants: The same, of a constant prediction; fields where it is 0 say nothing and are left out.

    Returns:
        At most 1; NaN where every field is left out.
    """
    skills = [1.0 - loss / constant for loss, constant in zip(losses, constants, strict=True) if constant > 0]
    return float(np.mean(skills)) if skills else math.nan


def label_matrix(columns: Sequence[Sequence[bool]]) -> NDArray[np.bool_]:
    """(N, K) which row has which label, of K columns of N."""
    return np.array(columns, dtype=bool).T


def multilabel_metrics(truth: NDArray[np.bool_], chosen: NDArray[np.bool_], probabilities: Floats) -> dict[str, float]:
    """micro_f1, macro_f1 (over labels that occur), subset_accuracy, hamming_loss, ranking_precision, log_loss.

    ranking_precision is the label ranking average precision (Schapire and Singer 2000): over rows with a label, how
    far up their labels stand when all are sorted by probability. log_loss (nats) is the mean over rows and labels.

    Args:
        truth: (N, K); which row has which label.
        chosen: (N, K) predicted.
        probabilities: (N, K).
    """
    from sklearn.metrics import f1_score, label_ranking_average_precision_score

    occurring = truth.any(axis=0)
    ranked = truth.any(axis=1)
    likelihood = np.clip(np.where(truth, probabilities, 1.0 - probabilities), 1e-12, 1.0)
    return {
        # With one label, scikit-learn would take the columns for two classes.
        "micro_f1": _f1(truth.ravel(), chosen.ravel()),
        "macro_f1": float(
            np.mean([f1_score(truth[:, k], chosen[:, k], zero_division=0.0) for k in np.flatnonzero(occurring)])
        )
        if occurring.any()
        else math.nan,
        "subset_accuracy": float((truth == chosen).all(axis=1).mean()),
        "hamming_loss": float((truth != chosen).mean()),
        "ranking_precision": float(label_ranking_average_precision_score(truth[ranked], probabilities[ranked]))
        if ranked.any()
        else math.nan,
        "log_loss": float(-np.log(likelihood).mean()),
    }


def _f1(truth: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> float:
    both, either = int((truth & chosen).sum()), int(truth.sum() + chosen.sum())
    return 2 * both / either if either else 0.0


def multilabel_baseline(shares: Sequence[float], truth: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    """What constants reach: each label as most training rows have it, with its share as probability.

    Args:
        shares: Of each label, the share of training rows that have it.
        truth: (N, K).
    """
    probabilities = np.tile(np.asarray(shares, dtype=np.float64), (len(truth), 1))
    return {"majority": multilabel_metrics(truth, probabilities > 0.5, probabilities)}


def field_loss(metrics: Mapping[str, float]) -> float:
    """What `skill` compares: the error rate of labels, the mean absolute error of numbers.

    Args:
        metrics: Of one decision, or of a constant.
    """
    return 1.0 - metrics["accuracy"] if "accuracy" in metrics else metrics["mae"]
