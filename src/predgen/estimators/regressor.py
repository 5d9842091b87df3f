"""`PredGenRegressor`: texts → numbers, with scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import assert_all_finite, column_or_1d

from predgen.config import LongText, Precision, Switch, Task
from predgen.decoding.decide import INTERVAL_LEVEL
from predgen.decoding.options import IntervalKind, PredictOptions
from predgen.estimators.arguments import FOR_NUMBERS
from predgen.estimators.base import TextEstimator
from predgen.estimators.input_errors import InputError
from predgen.run import Run

Floats = NDArray[np.float64]


class PredGenRegressor(RegressorMixin, TextEstimator):  # type: ignore[misc]
    r"""Predicts numbers from texts by writing them.

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
        metric: The dev metric that selects; None: mae.
        calibrate: Temperatures by the dev rows: auto (where they are enough), on, off.
        random_state: ``train.seed``; a generator, or None for a new seed every time, will do as well.
        low: The smallest number that can be predicted (``space.low``); None: a little below y's, as are high and
            decimals.
        high: The largest one.
        decimals: Digits after the point.
        settings: Any other setting, as "space.kind=free".
        warm_start: Whether a second `fit` goes on from the first one's weights, as ``predgen fit --from`` does.
        verbose: Whether to print what is decided, and progress.
    """

    setting_names: ClassVar[Mapping[str, str]] = FOR_NUMBERS
    task: ClassVar[Task] = "regression"

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
        low: float | None = None,
        high: float | None = None,
        decimals: int | None = None,
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
        self.low = low
        self.high = high
        self.decimals = decimals
        self.settings = settings
        self.warm_start = warm_start
        self.verbose = verbose

    def predict(self, X: Any) -> Floats:
        """The number of each of N rows, (N,), under the run's default decision."""
        return np.array([each.prediction for each in self._predictions(X)])

    def predict_interval(self, X: Any, level: float = INTERVAL_LEVEL, interval: IntervalKind = "conformal") -> Floats:
        """The lower and upper end of each row's interval, (N, 2).

        Args:
            X: N rows.
            level: In (0, 1): the share of new rows that intervals are to hold.
            interval: "conformal" lies around the prediction and keeps its level over rows that are alike those that
                selected; "central" and "highest" (the shortest) are the posterior's own.
        """
        found = self._predictions(X, PredictOptions(level=level, interval=interval))
        return np.array([each.interval for each in found])

    def predict_quantile(self, X: Any, quantiles: Sequence[float]) -> Floats:
        """Quantiles of each row's posterior, (N, Q).

        Args:
            X: N rows.
            quantiles: Q levels in (0, 1).

        Raises:
            ValueError: If the run has no posterior, as a predictor's.
        """
        found = self._predictions(X, PredictOptions(quantiles=tuple(quantiles)))
        return np.array([[each.quantiles[f"{level:g}"] for level in quantiles] for each in found])

    def _learn_targets(self, y: Any) -> dict[str, Any]:
        return {}

    def _targets(self, y: Any) -> list[Any]:
        if getattr(getattr(y, "dtype", None), "kind", "") == "c":
            raise InputError("Complex data not supported.", "y must be real numbers.")
        given = column_or_1d(y, warn=True)
        # A number's shortest spelling says how many decimals it has: float32's 0.1 is not 0.10000000149.
        short = [float(str(each)) for each in given] if given.dtype in (np.float16, np.float32) else given
        numbers = np.asarray(short, dtype=float)
        assert_all_finite(numbers, input_name="y")
        found: list[Any] = numbers.tolist()
        return found

    def _as_settings(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return arguments

    @classmethod
    def as_arguments(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Settings and arguments are spelt alike."""
        return values

    def facts(self) -> dict[str, Any]:
        """Nothing: the run knows all."""
        return {}

    def restore(self, run: Run, facts: Mapping[str, Any]) -> None:
        """Nothing is to be restored."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # of columns of numbers: they are read as text
        return tags
