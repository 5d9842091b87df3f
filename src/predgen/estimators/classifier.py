"""`PredGenClassifier`: texts → labels, with scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, column_or_1d

from predgen.config import LongText, Precision, Switch, Task
from predgen.data.targets import label_of, missing
from predgen.decoding.decide import INTERVAL_LEVEL
from predgen.decoding.options import PredictOptions
from predgen.errors import nearest
from predgen.estimators.arguments import FOR_LABELS
from predgen.estimators.base import TextEstimator
from predgen.estimators.input_errors import InputError
from predgen.run import Run

Floats = NDArray[np.float64]


class PredGenClassifier(ClassifierMixin, TextEstimator):  # type: ignore[misc]
    r"""Predicts labels of texts by writing them.

    Every argument is a setting of `predgen fit` with the same default, called as the last part of the setting's name
    where no other is given below.

    Args:
        method: predgen, generator or predictor.
        loss: How writer and director loss join; None: as suits the director.
        model: The base model: a name that `predgen models` lists, a hub id, or a path (``model.name``).
        peft: The PEFT method (``peft.method``).
        rank: Of the adapter (``peft.rank``); likewise alpha and dropout.
        alpha: Its scale.
        dropout: In the adapter.
        template: A prompt over several columns, as "Headline: {a}\nEdited: {b}"; None: a line a column.
        cue: What ends every prompt (``prompt.cue``); likewise max_tokens, long and chat.
        max_tokens: Of a prompt; None: the model's context.
        long: What is kept of a longer text: head, tail, head-tail, windows.
        chat: Whether prompts go through the model's chat template: off, on, auto.
        dev_size: The part of X that selects checkpoint and decision where there is no eval_set (``data.dev_size``).
        epochs: Passes over the rows (``train.epochs``); likewise all that follow, up to calibrate.
        max_steps: Optimizer steps; overrides epochs.
        batch_size: Rows of a forward pass.
        accumulate: Forward passes of an optimizer step.
        eval_batch_size: Rows of a pass that predicts.
        learning_rate: At its highest.
        weight_decay: Of AdamW.
        evaluations: How often the dev rows are scored.
        precision: fp32, bf16 or fp16.
        time_budget: As 30m: fewer steps where more would take longer.
        patience: Stop after so many evaluations without a better dev metric.
        metric: The dev metric that selects; None: accuracy.
        calibrate: Temperatures by the dev rows: auto (where they are enough), on, off.
        random_state: ``train.seed``; a generator, or None for a new seed every time, will do as well.
        labels: All labels, in order (``space.labels``); None: those of y.
        ordered: Whether their order means something, as that of grades does (``space.ordered``).
        class_weight: None, "balanced", or a weight a label (``train.class_weights``).
        settings: Any other setting, as "sampling.end=0.5".
        warm_start: Whether a second `fit` goes on from the first one's weights, as ``predgen fit --from`` does.
        verbose: Whether to print what is decided, and progress.

    Attributes:
        classes_: The labels as y has them, ascending; the columns of `predict_proba`.
    """

    setting_names: ClassVar[Mapping[str, str]] = FOR_LABELS
    task: ClassVar[Task] = "classification"

    def __init__(
        self,
        *,
        method: str = "predgen",
        loss: str | None = None,
        model: str = "smollm2-135m",
        peft: str = "lora",
        rank: int = 8,
        alpha: float = 16.0,
        dropout: float = 0.0,
        template: str | None = None,
        cue: str = "\nAnswer:",
        max_tokens: int | None = None,
        long: LongText = "head",
        chat: Switch = "off",
        dev_size: float = 0.1,
        epochs: float = 3.0,
        max_steps: int | None = None,
        batch_size: int = 16,
        accumulate: int = 1,
        eval_batch_size: int = 32,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        evaluations: int = 4,
        precision: Precision = "fp32",
        time_budget: str | None = None,
        patience: int | None = None,
        metric: str | None = None,
        calibrate: Switch = "auto",
        random_state: Any = 0,
        labels: Sequence[Any] | None = None,
        ordered: bool = False,
        class_weight: str | Mapping[Any, float] | None = None,
        settings: Sequence[str] = (),
        warm_start: bool = False,
        verbose: bool = False,
    ) -> None:
        self.method = method
        self.loss = loss
        self.model = model
        self.peft = peft
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.template = template
        self.cue = cue
        self.max_tokens = max_tokens
        self.long = long
        self.chat = chat
        self.dev_size = dev_size
        self.epochs = epochs
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.accumulate = accumulate
        self.eval_batch_size = eval_batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.evaluations = evaluations
        self.precision = precision
        self.time_budget = time_budget
        self.patience = patience
        self.metric = metric
        self.calibrate = calibrate
        self.random_state = random_state
        self.labels = labels
        self.ordered = ordered
        self.class_weight = class_weight
        self.settings = settings
        self.warm_start = warm_start
        self.verbose = verbose

    def predict(self, X: Any) -> NDArray[Any]:
        """The label of each of N rows, (N,), under the run's default decision."""
        places = {text: place for place, text in enumerate(self._texts())}
        chosen = [places[each.prediction] for each in self._predictions(X)]
        labels: NDArray[Any] = self.classes_[chosen]
        return labels

    def predict_proba(self, X: Any) -> Floats:
        """The probability of every label, (N, K), in the order of `classes_`; rows sum to 1."""
        found = self._predictions(X)
        texts = self._texts()
        probabilities = np.array([[each.probabilities[text] for text in texts] for each in found])
        shares: Floats = probabilities / probabilities.sum(axis=1, keepdims=True)
        return shares

    def predict_log_proba(self, X: Any) -> Floats:
        """The logarithms of `predict_proba`, (N, K); −inf where a probability is 0."""
        with np.errstate(divide="ignore"):
            logs: Floats = np.log(self.predict_proba(X))
        return logs

    def predict_set(self, X: Any, level: float = INTERVAL_LEVEL) -> NDArray[np.bool_]:
        """Which labels are in each row's set, (N, K): together they hold the row's own with probability `level`.

        Args:
            X: N rows.
            level: In (0, 1), over rows that are alike those that selected (split conformal prediction).
        """
        found, texts = self._predictions(X, PredictOptions(level=level)), self._texts()
        held: NDArray[np.bool_] = np.array([[text in each.set for text in texts] for each in found])
        return held

    def _texts(self) -> list[str]:
        """Each class as it is written."""
        self.run_  # noqa: B018 — raises where there is none
        return [label_of(label) for label in self.classes_.tolist()]

    def _learn_targets(self, y: Any) -> dict[str, Any]:
        found = np.unique(_checked(y))
        wanted = found if self.labels is None else np.unique(np.asarray(list(self.labels), dtype=found.dtype.type))
        texts = [label_of(label) for label in wanted.tolist()]
        alike = sorted({text for text in texts if texts.count(text) > 1})
        if alike:
            raise InputError(f"Different labels are written alike, as {alike[0]!r}.", "Each needs a text of its own.")
        if len(texts) < 2:
            raise InputError(f"The targets hold {len(texts)} class: {texts}.", "Classification needs at least two.")
        self.classes_ = wanted
        # What labels fixes, it fixes in its own order, which may mean something.
        return {"space.labels": texts if self.labels is None else [label_of(plain) for plain in self.labels]}

    def _targets(self, y: Any) -> list[Any]:
        known = {label_of(label) for label in self.classes_.tolist()}
        texts = [label_of(label) for label in _checked(y).tolist()]
        strange = sorted(set(texts) - known)
        if strange:
            raise InputError(f"y has the unknown label {strange[0]!r}:", nearest(strange[0], known))
        return texts

    def _as_settings(self, arguments: dict[str, Any]) -> dict[str, Any]:
        weights = arguments["class_weight"]
        if isinstance(weights, Mapping):
            weights = {label_of(label): weight for label, weight in weights.items()}
        return {**arguments, "class_weight": "none" if weights is None else weights, "labels": None}

    @classmethod
    def as_arguments(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Settings as the arguments spell them."""
        return {**values, "class_weight": None if values["class_weight"] == "none" else values["class_weight"]}

    def facts(self) -> dict[str, Any]:
        """The labels as y had them, which the run knows as texts."""
        return {"classes": self.classes_.tolist(), "dtype": self.classes_.dtype.str}

    def restore(self, run: Run, facts: Mapping[str, Any]) -> None:
        """Takes `classes_`; of a run that was fitted elsewhere they are texts."""
        if facts:
            self.classes_ = np.array(facts["classes"], dtype=np.dtype(facts["dtype"]))
        else:
            self.classes_ = np.unique(np.array(list(run.space.labels)))  # type: ignore[union-attr]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # of columns of numbers: they are read as text
        return tags


def _checked(y: Any) -> NDArray[Any]:
    """The targets as a 1-D array of labels.

    Raises:
        ValueError: If it is something else, or labels are missing.
    """
    labels: NDArray[Any] = column_or_1d(y, warn=True)
    if labels.dtype.kind == "f":
        assert_all_finite(labels, input_name="y")
    bad = [number for number, label in enumerate(labels.tolist()) if missing(label)]
    if bad:
        raise InputError(f"Input y contains NaN: {len(bad)} labels are missing, first that of row {bad[0]}.")
    check_classification_targets(labels)
    return labels
