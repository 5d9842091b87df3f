"""What both estimators share: rows in, the fit path, the run that comes of it, and its folder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from predgen.config import RunConfig, Task
from predgen.decoding.options import PredictOptions
from predgen.estimators.arguments import config_of
from predgen.estimators.fit_inputs import (
    EvalSet,
    Rows,
    free_name,
    one_pair,
    own_chance,
    seed_of,
    weights_of,
    with_column,
)
from predgen.estimators.input_errors import InputError, as_input_errors
from predgen.estimators.kept_run import KeptRun
from predgen.estimators.rows import Columns, columns_of, template_over
from predgen.estimators.saved import load_estimator, save_estimator
from predgen.prediction import RowError
from predgen.run import Run
from predgen.training.fit import Fitted
from predgen.training.fit import fit as fit_run

TARGET, WEIGHT = "target", "sample_weight"


class TextEstimator(BaseEstimator):  # type: ignore[misc]
    """A `predgen fit` with scikit-learn's interface.

    Fitted attributes: ``run_`` (the `Run`, for all that scikit-learn has no name for), ``dev_result_`` (what selected
    checkpoint and decision), ``notes_`` (what was decided, and why), ``columns_`` (of X); ``n_features_in_`` and
    ``feature_names_in_`` where X has columns.
    """

    setting_names: ClassVar[Mapping[str, str]]  # argument → setting
    task: ClassVar[Task]
    kept_: KeptRun
    columns_: tuple[str, ...]
    notes_: list[str]
    dev_result_: dict[str, Any]
    settings: Sequence[str]
    template: str | None
    random_state: Any
    warm_start: bool
    verbose: bool

    # What the two kinds of targets differ in.

    @abstractmethod
    def _learn_targets(self, y: Any) -> dict[str, Any]:
        """Takes from the training targets what predicting needs, and returns the settings that follow from them."""

    @abstractmethod
    def _targets(self, y: Any) -> list[Any]:
        """Targets as the fit path takes them.

        Raises:
            ValueError: If they are no targets.
        """

    @abstractmethod
    def _as_settings(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments as the settings spell them."""

    @classmethod
    @abstractmethod
    def as_arguments(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Settings as the arguments spell them."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What a saved estimator needs besides run, arguments and columns, as JSON."""

    @abstractmethod
    def restore(self, run: Run, facts: Mapping[str, Any]) -> None:
        """Takes fitted attributes from a run and from `facts`, which are empty where the run was fitted elsewhere."""

    # Fitting.

    def fit(self, X: Any, y: Any, sample_weight: Any = None, eval_set: EvalSet | None = None) -> Self:
        """Trains on rows.

        Args:
            X: N texts (a list, array or Series), or N rows of columns (a DataFrame, 2-D array, or list of mappings) of
                which `template` makes a text; without one each column is a line of it.
            y: N targets.
            sample_weight: N non-negative numbers: what each row's loss counts.
            eval_set: (X, y), or a list of one such pair: rows that select checkpoint and decision, and calibrate. None:
                a part of X, of the size `dev_size`.

        Returns:
            The estimator. With `warm_start` a fitted one goes on from its weights, and keeps its answers and columns.
            A fit that fails leaves the estimator as it was.

        Raises:
            ValueError: If rows, targets or arguments cannot be used.
            TypeError: If they are of a wrong kind.
            ModelError: If the base model cannot be used, or the loss becomes no number.
        """
        before = dict(vars(self))
        try:
            return self._fit(X, y, sample_weight, eval_set)
        except BaseException:  # an interrupt too: classes of these rows beside a run of others would predict nonsense
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _fit(self, X: Any, y: Any, sample_weight: Any, eval_set: EvalSet | None) -> Self:
        going_on = bool(self.warm_start) and hasattr(self, "kept_")
        read = columns_of(X)
        if y is None:
            raise InputError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        check_consistent_length(read.rows, y)
        if len(read) < 2:
            raise InputError("X holds one row (n_samples=1).", "Fitting needs one to train on and one to select by.")
        if not going_on:
            for name in ("n_features_in_", "feature_names_in_"):
                self.__dict__.pop(name, None)
            decided, columns = self._learn_targets(y), read.names
            target = free_name(TARGET, columns)
        else:
            decided, columns, target = {}, self.columns_, self.run_.record.target
        self._check_columns(X, read, reset=not going_on)
        weight = free_name(WEIGHT, (*columns, target))
        rows = with_column(read.mappings(columns), target, self._targets(y))
        if sample_weight is not None:
            rows = with_column(rows, weight, weights_of(sample_weight, read.rows))
        dev = None if eval_set is None else self._dev_rows(eval_set, columns, target)
        with as_input_errors():
            decided |= {
                "task": self.task,
                "data.template": self.template if self.template is not None else template_over(columns),
                "data.target": target,
                "data.weight": None if sample_weight is None else weight,
                "data.test_size": 0.0,
            }
            kept, notes = KeptRun.in_new_folder(), list[str]()
            fitted = self._train(self._config({**decided, "out": str(kept.folder)}), rows, dev, going_on, notes)
        assert isinstance(fitted.run, Run)
        kept.hold(fitted.run)
        self.columns_, self.kept_, self.notes_, self.dev_result_ = columns, kept, notes, fitted.metrics["dev"]
        return self

    def _dev_rows(self, eval_set: EvalSet, columns: Sequence[str], target: str) -> Rows:
        X, y = one_pair(eval_set)
        read = columns_of(X)
        return with_column(read.mappings(columns), target, self._targets(y))

    def _config(self, decided: Mapping[str, Any]) -> RunConfig:
        arguments = self._as_settings(self.get_params(deep=False))
        arguments["random_state"] = seed_of(self.random_state)
        return config_of(self.setting_names, arguments, self.settings, decided)

    def _train(self, config: RunConfig, rows: Rows, dev: Rows | None, going_on: bool, notes: list[str]) -> Fitted:
        def say(line: str) -> None:
            notes.append(line)
            if self.verbose:
                print(line)

        with own_chance():
            return fit_run(
                config,
                overwrite=True,  # the folder is this fit's own
                say=say,
                start_from=self.kept_.folder if going_on else None,
                data=rows,
                dev=dev,
                report=False,
                show_progress=self.verbose,
            )

    def _check_columns(self, X: Any, read: Columns, reset: bool = False) -> None:
        """scikit-learn's own bookkeeping of columns; a sequence of texts has none."""
        if not read.texts:
            validate_data(self, X, reset=reset, skip_check_array=True)

    # Predicting.

    @property
    def run_(self) -> Run:
        """The fitted run, with all that `predgen.load` gives."""
        if not hasattr(self, "kept_"):
            raise NotFittedError(f"This {type(self).__name__} instance is not fitted yet.")
        return self.kept_.run

    def _predictions(self, X: Any, options: PredictOptions | None = None) -> list[Any]:
        """A prediction of each of N rows.

        Raises:
            InputError: If a row cannot be read, or the run cannot give what is asked.
        """
        check_is_fitted(self, "kept_")
        read = columns_of(X)
        self._check_columns(X, read)
        with as_input_errors():
            found = self.run_.predict(read.mappings(self.columns_), options or PredictOptions())
        bad = [each for each in found if isinstance(each, RowError)]
        if bad:
            shown = "; ".join(each.error for each in bad[:5]) + "; …" * (len(bad) > 5)
            raise InputError(
                f"{len(bad)} of {len(found)} rows cannot be read: {shown}",
                remedy="Mend or drop them, or use run_.predict(), where such a row is an error of its own.",
            )
        return found

    # Keeping.

    def save(self, folder: str | Path) -> Path:
        """Writes the run folder; `predgen.load` and the command line take it too.

        Args:
            folder: New, or empty.

        Raises:
            RunFolderError: If something is there already.
        """
        check_is_fitted(self, "kept_")
        return save_estimator(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads what `save` wrote, or any run folder of one answer of this kind.

        Raises:
            RunFolderError: If it is no run, is damaged, or predicts something else.
        """
        loaded: Self = load_estimator(cls, Path(folder))
        return loaded

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "kept_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # As scikit-learn's own text estimators: `one_d_array` would mean one number a row.
        tags.input_tags.string = tags.input_tags.allow_nan = True
        return tags
