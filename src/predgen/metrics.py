"""How good predictions are, and how good a constant would have been."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predgen.answers.spaces import FreeNumber, LabelSet, Space
from predgen.config import AnswerKind, Task
from predgen.data.targets import is_number
from predgen.errors import ConfigError, nearest

Floats = NDArray[np.float64]
Baseline = Mapping[str, Any]  # what a constant prediction needs, as `baseline_metrics` takes it
ECE_BINS = 15
EXACT_WITHIN = 1e-4


@dataclass(frozen=True)
class Metric:
    """A metric that can select a checkpoint.

    Args:
        name: As in the settings.
        task: What it measures.
        greater_is_better: Its direction.
        title: For figures.
    """

    name: str
    task: Task | AnswerKind
    greater_is_better: bool
    title: str


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "classification", True, "accuracy"),
        Metric("macro_f1", "classification", True, "macro F1"),
        Metric("balanced_accuracy", "classification", True, "balanced accuracy"),
        Metric("mcc", "classification", True, "Matthews correlation"),
        Metric("quadratic_kappa", "classification", True, "quadratic weighted kappa"),
        Metric("log_loss", "classification", False, "log loss (nats)"),
        Metric("ece", "classification", False, "expected calibration error"),
        Metric("exact_match", "regression", True, "exact match"),
        Metric("mae", "regression", False, "mean absolute error"),
        Metric("mse", "regression", False, "mean squared error"),
        Metric("rmse", "regression", False, "root mean squared error"),
        Metric("r2", "regression", True, "R²"),
        Metric("pearson", "regression", True, "Pearson correlation"),
        Metric("spearman", "regression", True, "Spearman correlation"),
        Metric("skill", "record", True, "skill: 1 − loss / the best constant's, mean over fields"),
        Metric("micro_f1", "multilabel", True, "micro F1"),
        Metric("subset_accuracy", "multilabel", True, "subset accuracy"),
        Metric("hamming_loss", "multilabel", False, "Hamming loss"),
        Metric("ranking_precision", "multilabel", True, "label ranking average precision"),
    )
}


def default_metric(space: Space) -> str:
    """What selects the checkpoint when nothing is said: accuracy, mae, or exact_match of free numbers."""
    if isinstance(space, FreeNumber):
        return "exact_match"
    return "accuracy" if isinstance(space, LabelSet) else "mae"


def check_metric(name: str, space: Space) -> None:
    """Refuses a metric that is unknown, or does not measure such answers.

    Args:
        name: As in `train.metric`.
        space: The answers.

    Raises:
        ConfigError: The message lists those that do.
    """
    task: Task = "classification" if isinstance(space, LabelSet) else "regression"
    fitting = [metric.name for metric in METRICS.values() if metric.task == task]
    if name not in fitting:
        raise ConfigError(f"{name!r} is no metric of a {task}:", nearest(name, fitting))
    if name == "quadratic_kappa" and isinstance(space, LabelSet) and not (space.ordered or _all_numbers(space.labels)):
        raise ConfigError(
            "quadratic_kappa needs labels that are numbers, or in order.",
            f"Found {list(space.labels[:5])}.",
            "Give them in order as space.labels, with space.ordered=true, or choose another metric.",
        )
    if name == "exact_match" and not isinstance(space, FreeNumber):
        raise ConfigError("exact_match is a metric of free numbers.", remedy="Choose another, or space.kind=free.")


def _all_numbers(labels: Sequence[str]) -> bool:
    return all(map(is_number, labels))


def better(metric: str, value: float, than: float) -> bool:
    """Whether a value beats another; NaN (an undefined correlation, say) beats nothing and loses to any number."""
    if math.isnan(value) or math.isnan(than):
        return math.isnan(than) and not math.isnan(value)
    return value > than if METRICS[metric].greater_is_better else value < than


def chosen_over(metric: str, values: Mapping[str, float], than: Mapping[str, float]) -> bool:
    """Whether the metrics of one checkpoint or decision win over those of an earlier one.

    Over few rows accuracies are often equal. Of those the one is chosen whose probabilities fit better, by the log
    loss; where that is no better either, or there is none, the earlier one stays.
    """
    if better(metric, values[metric], than[metric]):
        return True
    return not better(metric, than[metric], values[metric]) and _log_loss(values) < _log_loss(than)


def _log_loss(values: Mapping[str, float | None]) -> float:
    loss = values.get("log_loss")
    return math.inf if loss is None or math.isnan(loss) else loss


def classification_metrics(
    truth: Sequence[str], predicted: Sequence[str], probabilities: Floats, labels: Sequence[str], ordered: bool = False
) -> dict[str, float]:
    """accuracy, macro_f1 and balanced_accuracy (over labels that occur), mcc, quadratic_kappa, log_loss (nats), ece.

    quadratic_kappa weighs a confusion by the squared difference of the labels' numbers, or of the places of ordered
    labels that are no numbers; for other labels, or where nothing but one label occurs, it is NaN.

    Args:
        truth: N labels.
        predicted: N labels.
        probabilities: (N, K) in the order of `labels`, rows sum to 1.
        labels: K labels; those of `truth` are among them.
        ordered: Whether their order means something.
    """
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, recall_score

    position = {label: index for index, label in enumerate(labels)}
    by_place = ordered and not _all_numbers(labels)
    of_kappa = [[str(position[label]) for label in side] if by_place else side for side in (truth, predicted)]
    gold = np.array([position[label] for label in truth])
    # sklearn's log_loss wants every label in the truth; the definition does not.
    likelihood = np.clip(probabilities[np.arange(len(gold)), gold], 1e-12, 1.0)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "macro_f1": float(f1_score(truth, predicted, average="macro", zero_division=0.0)),
        # The mean recall of the labels that occur, which is what balanced accuracy is.
        "balanced_accuracy": float(
            recall_score(truth, predicted, labels=sorted(set(truth)), average="macro", zero_division=0.0)
        ),
        # Of a single label it is 0 by definition, which scikit-learn says with a warning.
        "mcc": float(matthews_corrcoef(truth, predicted)) if len({*truth, *predicted}) > 1 else 0.0,
        "quadratic_kappa": quadratic_kappa(*of_kappa),
        "log_loss": float(-np.log(likelihood).mean()),
        "ece": expected_calibration_error(gold, np.array([position[label] for label in predicted]), probabilities),
    }


def quadratic_kappa(truth: Sequence[str], predicted: Sequence[str]) -> float:
    """1 − Σ (t − p)² over the rows / the same with truth and prediction drawn apart (Cohen 1968).

    Args:
        truth: N labels that spell numbers.
        predicted: N labels that spell numbers.

    Returns:
        At most 1; NaN where a label is no number, or all are one and the same.
    """
    try:
        wanted, got = (np.array([float(label) for label in labels]) for labels in (truth, predicted))
    except ValueError:
        return math.nan
    if _constant(np.concatenate([wanted, got])):
        return math.nan
    # The mean of (t − p)² over all pairs, which needs no N × N of them.
    by_chance = float(wanted.var() + got.var() + (wanted.mean() - got.mean()) ** 2)
    return 1.0 - float(((wanted - got) ** 2).mean()) / by_chance


def crps(truth: Sequence[float], probabilities: Floats, values: Floats) -> float:
    """The continuous ranked probability score, mean over rows: E|X − y| − ½ E|X − X'| (Gneiting and Raftery 2007).

    In the target's units; of a prediction without spread it is the absolute error.

    Args:
        truth: N numbers.
        probabilities: (N, A), rows sum to 1.
        values: (A,) or (N, A), ascending.
    """
    wanted = np.asarray(truth, dtype=float)
    distance = (probabilities * np.abs(values - wanted[:, None])).sum(axis=1)
    # E|X − X'| = 2 Σ F (1 − F) · gap, which needs no square of A.
    below = np.cumsum(probabilities, axis=1)[:, :-1]
    spread = (below * (1.0 - below) * np.diff(values)).sum(axis=1)
    return float((distance - spread).mean())


def expected_calibration_error(gold: NDArray[np.int64], chosen: NDArray[np.int64], probabilities: Floats) -> float:
    """Σ over confidence bins of their share · |accuracy − mean confidence| (Guo et al. 2017), 15 equal widths.

    Args:
        gold: (N,) class indices.
        chosen: (N,) the predicted class indices, whose probability is the confidence.
        probabilities: (N, K).
    """
    confidence = probabilities[np.arange(len(chosen)), chosen]
    right = (gold == chosen).astype(float)
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    gaps = [abs((right[bins == b] - confidence[bins == b]).sum()) for b in range(ECE_BINS)]
    return float(sum(gaps) / len(chosen))


def regression_metrics(truth: Sequence[float], predicted: Sequence[float], exact: bool = False) -> dict[str, float]:
    """mae, mse, rmse, r2, pearson, spearman; correlations of a constant, and R² of one row, are NaN.

    Args:
        truth: N numbers.
        predicted: N numbers.
        exact: Whether exact_match comes first: the share of rows that are off by less than 1e-4 (the paper's Table 5).
    """
    from scipy.stats import rankdata

    wanted, got = np.asarray(truth, dtype=float), np.asarray(predicted, dtype=float)
    errors = got - wanted
    mse = float((errors**2).mean())
    spread = float(((wanted - wanted.mean()) ** 2).mean())
    return {
        **({"exact_match": float((np.abs(errors) < EXACT_WITHIN).mean())} if exact else {}),
        "mae": float(np.abs(errors).mean()),
        "mse": mse,
        "rmse": math.sqrt(mse),
        "r2": math.nan if _constant(wanted) else 1.0 - mse / spread,
        "pearson": _correlation(wanted, got),
        "spearman": _correlation(rankdata(wanted), rankdata(got)),
    }


def _correlation(one: Floats, other: Floats) -> float:
    if _constant(one) or _constant(other):
        return math.nan
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum()) / (float(np.linalg.norm(one)) * float(np.linalg.norm(other)))


def _constant(values: Floats) -> bool:
    """Whether all are one number but for rounding, whatever its size: dividing by that would invent a result."""
    return float(np.ptp(values)) <= 1e-13 * float(np.abs(values).max())


def interval_metrics(truth: Sequence[float], low: Sequence[float], high: Sequence[float]) -> dict[str, float]:
    """Coverage (the share of rows within their interval, ends included) and mean width.

    Args:
        truth: N numbers.
        low: N lower ends.
        high: N upper ends.
    """
    wanted, lower, upper = np.asarray(truth), np.asarray(low), np.asarray(high)
    return {
        "coverage": float(((wanted >= lower) & (wanted <= upper)).mean()),
        "width": float((upper - lower).mean()),
    }


def baseline_metrics(baseline: Baseline, truth: Sequence[str] | Sequence[float]) -> dict[str, dict[str, float]]:
    """What constants reach that were taken from the training targets.

    Args:
        baseline: ``{"shares": {label: share}}`` for labels: the majority label, with the shares as probabilities. Or
            ``{"mean": …, "median": …}`` for numbers, each a prediction of its own; with ``"mode"`` among them, exact
            match counts.
        truth: N targets.
    """
    if "shares" in baseline:
        labels = list(baseline["shares"])
        shares = np.array([baseline["shares"][label] for label in labels])
        majority = labels[int(shares.argmax())]
        probabilities = np.tile(shares, (len(truth), 1))
        words = [str(label) for label in truth]
        return {"majority": classification_metrics(words, [majority] * len(words), probabilities, labels)}
    numbers = [float(value) for value in truth]
    exact = "mode" in baseline
    return {name: regression_metrics(numbers, [value] * len(numbers), exact) for name, value in baseline.items()}
