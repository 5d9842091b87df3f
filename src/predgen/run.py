"""A fitted run: load it, predict with it, score it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from predgen.answers.build import build_table
from predgen.answers.spaces import FreeNumber, LabelSet, NumberGrid, Space, space_from_json
from predgen.config import config_from_dict
from predgen.data.objects import RowsInMemory, table_of
from predgen.data.prompts import PromptEncoder, frame_of
from predgen.data.table import BadRow
from predgen.data.templates import render, template_fields
from predgen.data.tokens import decode
from predgen.decoding.calibrate import Calibration
from predgen.decoding.conformal import Conformal, conformal_from_json, difficulties_of
from predgen.decoding.decide import (
    INTERVAL_LEVEL,
    Floats,
    class_decisions,
    decisions_for,
    grid_quantile,
    highest_density,
    number_decisions,
    posterior_probabilities,
)
from predgen.decoding.options import PredictOptions, check_options
from predgen.errors import DataError, PredgenError, RunFolderError
from predgen.evaluation import (
    Evaluation,
    Targets,
    decision_metrics,
    posterior_quality,
    set_quality,
    share_outside_space,
)
from predgen.metrics import baseline_metrics, interval_metrics
from predgen.model.build import Setting, build_method, build_writer
from predgen.model.outputs import Scores
from predgen.model.scale import Scale, scale_kind
from predgen.model.writer import Writer
from predgen.peft_methods import peft_method
from predgen.prediction import BATCH_TOKENS, Prediction, RowError, label_predictions, number_predictions, score_rows
from predgen.training.run_folder import DIRECTOR, HELD_OUT, RunRecord, read_json, read_record

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

Row = str | Mapping[str, Any]
Progress = Callable[[int], None]
_DEFAULTS = PredictOptions()


def _silent(rows: int) -> None:
    """Reports nothing."""


@dataclass(frozen=True)
class Run:
    """A fitted method with all that turns rows into predictions.

    Args:
        record: What ``predgen.json`` holds.
        method: The fitted module.
        space: The answers.
        encoder: Body → prompt tokens.
        tokenizer: The writer's.
        calibration: What is done to every score.
        conformal: How far off each decision was on dev rows, by its name.
        batch_size: Most prompts a pass.
        batch_tokens: Most tokens a pass, so that longer prompts go in smaller batches.
    """

    record: RunRecord
    method: nn.Module
    space: Space
    encoder: PromptEncoder
    tokenizer: PreTrainedTokenizerBase
    calibration: Calibration
    conformal: Mapping[str, Conformal]
    batch_size: int = 32
    batch_tokens: int = BATCH_TOKENS

    @property
    def reader_name(self) -> str | None:
        """What the method calls its director or head."""
        name: str | None = self.method.reader_name  # type: ignore[assignment]
        return name

    @property
    def marker(self) -> str | None:
        """What stands before the number in targets that are worked solutions; None where they are none."""
        return self.space.marker if isinstance(self.space, FreeNumber) else None

    def body(self, row: Row) -> str:
        """A row as the prompt's body.

        Args:
            row: A mapping of columns; or a text, where the template has one field.

        Raises:
            DataError: If a column is missing, or all are empty.
        """
        if isinstance(row, str):
            fields = template_fields(self.record.template)
            if len(fields) != 1:
                raise DataError(
                    f"A single text was given, but this run's template reads {len(fields)} columns: {fields}.",
                    remedy="Give a mapping of these columns.",
                )
            row = {fields[0]: row}
        return render(self.record.template, row)

    def score(self, bodies: Sequence[str], progress: Progress = _silent) -> Scores:
        """Scores rendered rows, from their prompts alone, calibrated."""
        return self.calibration.apply(self.score_raw(bodies, progress), self.space)

    def score_raw(self, bodies: Sequence[str], progress: Progress = _silent) -> Scores:
        """As `score`, before the dev rows' calibration."""
        return score_rows(self.method, self.encoder.rows(bodies), self.batch_size, progress, self.batch_tokens)

    def predict(
        self,
        rows: Sequence[Row] | RowsInMemory,
        options: PredictOptions = _DEFAULTS,
        progress: Progress = _silent,
    ) -> list[Prediction]:
        """Predicts rows, under the run's default decision unless another is asked for.

        Args:
            rows: Texts, or mappings of the template's columns, or a DataFrame or Dataset that has them.
            options: Another decision, thresholds, costs, other intervals, quantiles.
            progress: Called with the number of rows done after each pass.

        Returns:
            One prediction a row, in order; a row that cannot be read gives a `RowError` and stops nothing.

        Raises:
            DataError: If `rows` is a single text.
            ConfigError: If the run cannot give what is asked.
        """
        if isinstance(rows, str):
            raise DataError("predict() was given one text.", "It takes a sequence of rows.", "Put it in a list.")
        given = table_of(rows).good_rows if hasattr(rows, "columns") or hasattr(rows, "column_names") else rows
        return [row for window in self.stream(given, options, progress=progress) for row in window]

    def stream(
        self,
        rows: Iterable[Row | BadRow],
        options: PredictOptions = _DEFAULTS,
        first: int = 0,
        window: int = 1024,
        progress: Progress = _silent,
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
        check_options(options, self.space, self.conformal)
        numbered = enumerate(rows, start=first)
        while chunk := list(itertools.islice(numbered, window)):
            bodies: dict[int, str] = {}
            predictions: dict[int, Prediction] = {}
            for number, row in chunk:
                try:
                    if isinstance(row, BadRow):
                        raise DataError(row.reason)
                    bodies[number] = self.body(row)
                except PredgenError as problem:
                    predictions[number] = RowError(number, str(problem))
            if bodies:
                decided = self.decide(self.score(list(bodies.values()), progress), list(bodies), options)
                predictions.update({prediction.row: prediction for prediction in decided})
            yield [predictions[number] for number, _ in chunk]

    def decide(self, scores: Scores, rows: Sequence[int], options: PredictOptions) -> Sequence[Prediction]:
        """Scores → typed predictions; `rows` are their input positions, and `options` are checked."""
        decision = options.decision or self.record.decision
        if isinstance(self.space, LabelSet):
            decided = class_decisions(scores, self.space, self.reader_name)[decision]
            held = self.conformal[decision].sets(decided.probabilities, options.level)
            return label_predictions(decided, held, self.space, options, rows)
        values = number_decisions(scores, self.space, self.reader_name)[decision].values
        ends = self.intervals(scores, values, options)
        return number_predictions(
            scores, self.space, values, ends, options, rows, lambda ids: decode(self.tokenizer, ids)
        )

    def intervals(self, scores: Scores, values: Floats, options: PredictOptions = _DEFAULTS) -> tuple[Floats, Floats]:
        """Lower and upper ends, (N,) each: around numbers (see `Conformal.intervals`), or of the posterior itself."""
        space, level = self.space, options.level
        assert not isinstance(space, LabelSet)
        if options.interval != "conformal" and isinstance(space, NumberGrid):
            posterior, numbers = posterior_probabilities(scores), np.array(space.values)
            if options.interval == "highest":
                return highest_density(posterior, numbers, level)
            low, high = (grid_quantile(posterior, numbers, (1 + side * level) / 2) for side in (-1, 1))
            return low, high
        conformal = self.conformal[options.decision or self.record.decision]
        low, high = conformal.intervals(values, difficulties_of(scores, space), level, space.low, space.high)
        return space.admit(low), space.admit(high)

    def predict_proba(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Probabilities of every answer, (N, A), in the order of `space.texts`.

        For labels under the run's default decision; for numbers of the writer's exact posterior.

        Raises:
            DataError: If a row cannot be read, or the run has no distribution over numbers (a predictor, free numbers).
        """
        scores = self.score([self.body(row) for row in rows])
        if isinstance(self.space, LabelSet):
            decision = decisions_for(scores, self.space, self.reader_name)[self.record.decision]
            return decision.probabilities  # type: ignore[union-attr]
        if scores.log_posterior is None:
            raise DataError(
                "This run has no distribution over numbers: it is a predictor's, or of free numbers.",
                remedy="Use predict(), or another method, or space.kind=grid.",
            )
        posterior: NDArray[np.float64] = scores.log_posterior.double().exp().cpu().numpy()
        return posterior

    def evaluate(self, rows: Sequence[Row], truth: Targets, progress: Progress = _silent) -> Evaluation:
        """Scores rows against targets under every decision the run allows.

        Args:
            rows: N ≥ 1 rows.
            truth: N targets: labels, or numbers.
            progress: Called with the number of rows done after each pass.

        Raises:
            DataError: If a row cannot be read.
        """
        bodies = [self.body(row) for row in rows]
        return self.evaluate_scores(bodies, self.score(bodies, progress), truth)

    def evaluate_scores(self, bodies: Sequence[str], scores: Scores, truth: Targets) -> Evaluation:
        """As `evaluate`, of scores that are there already."""
        if isinstance(self.space, LabelSet):
            decided = class_decisions(scores, self.space, self.reader_name)[self.record.decision]
            held = self.conformal[self.record.decision].sets(decided.probabilities, INTERVAL_LEVEL)
            interval = set_quality(held, self.space.labels, truth)
        else:
            values = number_decisions(scores, self.space, self.reader_name)[self.record.decision].values
            low, high = self.intervals(scores, values)
            interval = interval_metrics([float(target) for target in truth], low.tolist(), high.tolist())
            interval |= posterior_quality(scores, self.space, truth)
        prompts = self.encoder.rows(bodies).prompts
        return Evaluation(
            rows=len(bodies),
            decision=self.record.decision,
            decisions=decision_metrics(scores, self.space, self.reader_name, truth),
            baseline=baseline_metrics(self.record.baseline, truth),
            interval=interval,
            outside_space=share_outside_space(self.method, prompts, self.space, self.tokenizer, self.batch_size),
        )


def load(
    path: str | Path, batch_size: int = 32, trust_remote_code: bool = False, batch_tokens: int = BATCH_TOKENS
) -> Run:
    """Loads a run folder, wherever it has been moved to.

    Args:
        path: The folder.
        batch_size: Most prompts a pass.
        trust_remote_code: Whether code that comes with the base model may run.
        batch_tokens: Most tokens a pass.

    Raises:
        RunFolderError: If it is no run, is damaged, or was trained on another base than the one found now.
        ModelError: If its base model cannot be loaded.
    """
    import torch
    from pydantic import TypeAdapter
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    from predgen.model.bases import check_base, load_base

    folder = Path(path)
    record = read_record(folder)
    try:
        config = config_from_dict(record.config, where=f"{folder}/predgen.json")
        space = space_from_json(record.space)
        peft = peft_method(config.peft.method)
        precision = config.train.precision
        if precision == "fp16" and not torch.cuda.is_available():
            precision = "fp32"  # the same numbers up to rounding; CPUs are slow in fp16
        if peft.whole:
            base = load_base(str(folder), None, trust_remote_code)
        else:
            base = load_base(config.model.name, config.model.revision, trust_remote_code, precision=precision)
            check_base(base, record.base["sha256"])
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        lm = peft.load(base.model, folder)
        prompt = config.prompt
        frame = frame_of(tokenizer, prompt.cue, prompt.chat)
        table = build_table(space, tokenizer, frame.behind, Writer(base.model).vocabulary_size)
        task = config.task
        if task == "auto":
            raise RunFolderError(f"{folder}/predgen.json does not say its task.")
        scale = Scale(record.mean, record.spread, scale_kind(space))
        setting = Setting(config, task, space, record.total_steps, scale)
        method = build_method(build_writer(lm, config, record.scoring), table, setting)
        director = load_file(folder / DIRECTOR) if (folder / DIRECTOR).exists() else {}
        calibration = TypeAdapter(Calibration).validate_python(record.calibration)
        conformal = {name: conformal_from_json(errors) for name, errors in read_json(folder, HELD_OUT).items()}
    except (OSError, SafetensorError, json.JSONDecodeError, KeyError, ValueError, RuntimeError) as problem:
        raise RunFolderError(
            f"{folder} is damaged or incomplete: {problem}", remedy="Restore it from a copy, or fit again."
        ) from problem
    own = {name: parameter for name, parameter in method.named_parameters() if not name.startswith("writer.")}
    if own.keys() != director.keys():
        raise RunFolderError(f"{folder / DIRECTOR} holds {sorted(director)}, expected {sorted(own)}.")
    with torch.no_grad():
        for name, tensor in director.items():
            own[name].copy_(tensor)
    method.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    encoder = PromptEncoder(tokenizer, prompt.cue, record.max_tokens, prompt.long, prompt.chat)
    return Run(record, method, space, encoder, tokenizer, calibration, conformal, batch_size, batch_tokens)
