"""What every fitted run does with rows, whether it gives them one answer or several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from predgen.data.columns import TargetField
from predgen.data.objects import RowsInMemory, table_of
from predgen.data.options import body_of
from predgen.data.table import BadRow
from predgen.data.templates import template_fields
from predgen.decoding.options import PredictOptions
from predgen.errors import DataError, RunFolderError
from predgen.evaluation import Evaluation, RecordEvaluation, Targets
from predgen.model.outputs import Scores
from predgen.prediction import Prediction
from predgen.processes import Processes
from predgen.streaming import Row as Row
from predgen.streaming import predict_in_windows

if TYPE_CHECKING:
    from predgen.run import Run

Progress = Callable[[int], None]
MetricOf = Callable[[NDArray[np.int64]], float]  # of any choice of the rows, repeats included
DEFAULTS = PredictOptions()


def silent(rows: int) -> None:
    """Reports nothing."""


def each_row(rows: Sequence[Row] | RowsInMemory) -> Iterable[Row]:
    """Rows one by one; of a frame they are not what it yields by itself, which are its columns' names.

    Raises:
        DataError: If it is a single row.
    """
    if isinstance(rows, str | Mapping):
        what = "text" if isinstance(rows, str) else "mapping"
        raise DataError(f"Rows were asked for, and one {what} was given.", remedy="Put it in a list.")
    given: Iterable[Row] = rows
    return table_of(rows).good_rows if hasattr(rows, "columns") or hasattr(rows, "column_names") else given


class BaseRun(ABC):
    """A fitted run."""

    folder: Path | None

    @property
    @abstractmethod
    def template(self) -> str:
        """How a row becomes the prompt's body."""

    @property
    @abstractmethod
    def targets(self) -> tuple[TargetField, ...]:
        """What it predicts, and how the truth is read from rows; one for each answer."""

    @property
    def option_columns(self) -> tuple[str, ...]:
        """The columns that hold each row's own options, where it is answered by one of them."""
        return ()

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Run]:
        """Target's name → a run of it alone, on the same weights; where there is one answer, the run itself."""

    @abstractmethod
    def shared_by(self, processes: Processes) -> Self:
        """The same run, whose rows several processes score together.

        Args:
            processes: All of them must make the same calls with the same rows; each scores its part, and all get all.
        """

    @abstractmethod
    def score_answers_raw(self, bodies: Sequence[str], progress: Progress = silent) -> list[Scores]:
        """Scores rendered rows, from their prompts alone, before the dev rows' calibration; one for each answer."""

    @abstractmethod
    def evaluate_answers(
        self, bodies: Sequence[str], scores: Sequence[Scores], truth: Sequence[Targets]
    ) -> Evaluation | RecordEvaluation:
        """Scores against targets, under every decision.

        Args:
            bodies: N ≥ 1 rendered rows.
            scores: Theirs, calibrated; one for each answer.
            truth: Of each answer N targets, as `read_fields` gives them.
        """

    @property
    @abstractmethod
    def metric(self) -> str:
        """What selected the run."""

    @property
    @abstractmethod
    def method_name(self) -> str:
        """How it was trained."""

    @abstractmethod
    def metric_over(self, scores: Sequence[Scores], truth: Sequence[Targets], metric: str) -> MetricOf:
        """A metric under the default decision, as a function of which rows count.

        Args:
            scores: Of N rows, calibrated; one for each answer.
            truth: Of each answer N targets.
            metric: Its name.

        Raises:
            ConfigError: If it does not measure such answers.
        """

    def calibrate(self, raw: Sequence[Scores]) -> list[Scores]:
        """What `score_answers_raw` gives, as the dev rows say it is to be read."""
        return [
            part.calibration.apply(scores, part.space) for part, scores in zip(self.parts.values(), raw, strict=True)
        ]

    def score_answers(self, bodies: Sequence[str], progress: Progress = silent) -> list[Scores]:
        """`score_answers_raw`, calibrated."""
        return self.calibrate(self.score_answers_raw(bodies, progress))

    @abstractmethod
    def check(self, options: PredictOptions) -> None:
        """Refuses what the run cannot give.

        Raises:
            ConfigError: The message says what it is.
        """

    @abstractmethod
    def predict_bodies(
        self, bodies: Sequence[str], rows: Sequence[int], options: PredictOptions, progress: Progress
    ) -> Sequence[Prediction]:
        """Rendered rows → predictions; `rows` are their input positions, and `options` are checked."""

    @abstractmethod
    def decide_answers(
        self, scores: Sequence[Scores], rows: Sequence[int], options: PredictOptions
    ) -> Sequence[Prediction]:
        """What `score_answers` gives → predictions; `rows` are their input positions, and `options` are checked."""

    def body(self, row: Row) -> str:
        """A row as the prompt's body.

        Args:
            row: A mapping of columns; or a text, where the template has one field.

        Raises:
            DataError: If it is neither, a column is missing, or all are empty.
        """
        if isinstance(row, str):
            fields = template_fields(self.template)
            if len(fields) != 1:
                raise DataError(
                    f"A single text was given, but this run's template reads {len(fields)} columns: {fields}.",
                    remedy="Give a mapping of these columns.",
                )
            row = {fields[0]: row}
        if not hasattr(row, "keys"):  # as a frame's rows have too
            raise DataError(
                f"The row is a {type(row).__name__}.", "Expected a text, or a mapping of columns to values."
            )
        return body_of(self.template, row, self.option_columns)

    def predict(
        self,
        rows: Sequence[Row] | RowsInMemory,
        options: PredictOptions = DEFAULTS,
        progress: Progress = silent,
    ) -> list[Prediction]:
        """Predicts rows, under the run's default decision unless another is asked for.

        Args:
            rows: Texts, or mappings of the template's columns, or a DataFrame or Dataset that has them.
            options: Another decision, thresholds, costs, other intervals, quantiles.
            progress: Called with the number of rows done after each pass.

        Returns:
            One prediction a row, in order; a row that cannot be read gives a `RowError` and stops nothing.

        Raises:
            DataError: If `rows` is a single text or mapping.
            ConfigError: If the run cannot give what is asked.
        """
        return [row for window in self.stream(each_row(rows), options, progress=progress) for row in window]

    def bodies(self, rows: Sequence[Row] | RowsInMemory) -> list[str]:
        """Rows, as `predict` takes them, as the prompts' bodies.

        Raises:
            DataError: If a row cannot be read.
        """
        return [self.body(row) for row in each_row(rows)]

    def stream(
        self,
        rows: Iterable[Row | BadRow],
        options: PredictOptions = DEFAULTS,
        first: int = 0,
        window: int = 1024,
        progress: Progress = silent,
    ) -> Iterator[list[Prediction]]:
        """Predicts rows as they come, in constant memory.

        Args:
            rows: Texts, or mappings of the template's columns; what could not be read comes out as an error.
            options: As `predict` takes them.
            first: The position of the first row.
            window: So many rows are sorted by length together.
            progress: Called with the number of rows done after each pass.

        Yields:
            The predictions of each window, in order, one a row.

        Raises:
            ConfigError: If the run cannot give what is asked.
        """
        self.check(options)

        def predict(bodies: list[str], numbers: list[int]) -> Sequence[Prediction]:
            return self.predict_bodies(bodies, numbers, options, progress)

        yield from predict_in_windows(rows, first, window, self.body, predict)

    def push_to_hub(
        self,
        repo_id: str,
        private: bool = False,
        token: str | None = None,
        revision: str | None = None,
        message: str = "A predgen run",
        create_pr: bool = False,
    ) -> str:
        """Uploads the run folder to the Hugging Face hub, with a model card; ``predgen.load(repo_id)`` fetches it.

        Of paths in settings and facts only the files' names go up; training logs of trackers stay.

        Args:
            repo_id: ``owner/name``; made if it is not there.
            private: Of a repository that is made.
            token: Of the hub; None: the one that is logged in.
            revision: The branch to commit to.
            message: Of the commit.
            create_pr: Commit to a pull request.

        Returns:
            The commit's address.

        Raises:
            HubError: If the id is none, the base model is a folder that others do not have, or the hub refuses.
            RunFolderError: If this is a field of a record, which has no folder of its own.
        """
        from predgen.hub import push
        from predgen.training.card import write_card
        from predgen.training.run_folder import METRICS, read_json

        if self.folder is None:
            raise RunFolderError("This run has no folder of its own.", "Expected one that was fitted or loaded.")
        metrics = read_json(self.folder, METRICS)

        def card(folder: Path) -> None:
            write_card(folder, self, metrics, repo_id)

        return push(self.folder, repo_id, card, private, token, revision, message, create_pr)
