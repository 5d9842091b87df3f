"""A run as the service has it: under a name, with what its replies and its page say of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from predgen.answers.spaces import LabelSet
from predgen.base_run import DEFAULTS, BaseRun
from predgen.data.options import body_of
from predgen.data.templates import render, template_fields
from predgen.decoding.decide import weighted_numbers
from predgen.downloads import sha256_of
from predgen.errors import ConfigError, DataError
from predgen.information.answers import check_explainable, check_shared
from predgen.model.bases import fingerprint
from predgen.model.outputs import Scores
from predgen.prediction import to_json
from predgen.run import Run
from predgen.training.run_folder import RECORD, finite

LEAST_PROBABILITY = 1e-7  # of a number that a distribution in a reply lists


@dataclass(frozen=True)
class ServedRun:
    """A run and its name.

    Args:
        name: What requests call it.
        run: The run; only the model's thread may ask it.
        version: Of its settings and weights; another run has another.
        example: A row that it can read.
        answer: What it says of it, for the documentation; None where it has not been asked.
    """

    name: str
    run: BaseRun
    version: str
    example: Mapping[str, Any]
    answer: Mapping[str, Any] | None = None

    @property
    def first(self) -> Run:
        """The run of its first answer; what all answers share is read off it."""
        return next(iter(self.run.parts.values()))

    @property
    def model(self) -> str:
        """The base model's name, without the folders that it lay in."""
        name = str(self.first.record.base["name"])
        return Path(name).name if Path(name).expanduser().exists() or Path(name).is_absolute() else name

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """What it reads of a row."""
        return tuple(dict.fromkeys([*template_fields(self.run.template), *self.run.option_columns]))

    @property
    def explains(self) -> bool:
        """Whether `explain` can say anything of its answers."""
        try:
            check_shared(self.first)
            for part in self.run.parts.values():
                check_explainable(part)
        except ConfigError:
            return False
        return True

    def showing(self, row: Mapping[str, Any]) -> ServedRun:
        """The same with another example; of its columns those that the run reads."""
        return replace(self, example={column: row[column] for column in self.columns if column in row})

    def row(self, given: Any) -> dict[str, Any]:
        """Column → value of a row in the form of its schema, whose fields are numbered."""
        return {name: getattr(given, f"column_{place}") for place, name in enumerate(self.columns)}

    def body(self, row: Mapping[str, Any], number: int) -> str:
        """A row as the prompt's body.

        Raises:
            DataError: If it cannot be read; the message names the row by its number.
        """
        return body_of(self.run.template, row, self.run.option_columns, number)

    def at_fault(self, row: Mapping[str, Any]) -> str:
        """The column of a row that `body` refuses: that of its options, where its text can be read."""
        try:
            render(self.run.template, row)
        except DataError:
            return self.columns[0]
        return next(iter(self.run.option_columns), self.columns[0])

    def answers(self, bodies: Sequence[str], distributions: Sequence[bool]) -> list[dict[str, Any]]:
        """What `predgen predict` writes of rows, without their numbers.

        Args:
            bodies: N ≥ 1 rendered rows.
            distributions: Of each, whether the numbers' whole distributions are wanted besides.
        """
        scores = self.run.score_answers(bodies)
        made = []
        for place, prediction in enumerate(self.run.decide_answers(scores, range(len(bodies)), DEFAULTS)):
            answer = {key: value for key, value in to_json(prediction).items() if key != "row"}
            if distributions[place]:
                self._add_distributions(answer, scores, place)
            made.append(finite(answer))
        return made

    def _add_distributions(self, answer: dict[str, Any], scores: Sequence[Scores], place: int) -> None:
        for (name, part), own in zip(self.run.parts.items(), scores, strict=True):
            distribution = _distribution(part, own, place)
            if distribution is not None:
                (answer if part is self.run else answer["fields"][name])["distribution"] = distribution


def _distribution(run: Run, scores: Scores, place: int) -> dict[str, list[float]] | None:
    weighted = None if isinstance(run.space, LabelSet) else weighted_numbers(scores, run.space)
    if weighted is None:
        return None
    values = weighted.values if weighted.values.ndim == 1 else weighted.values[place]
    probabilities = weighted.probabilities[place]
    kept = np.flatnonzero(probabilities >= LEAST_PROBABILITY)
    return {"support": values[kept].tolist(), "probabilities": probabilities[kept].tolist()}


def served(name: str, run: BaseRun) -> ServedRun:
    """Puts a loaded run under a name, with a plain sentence in each column for an example.

    Args:
        name: What requests call it.
        run: With a folder, of whose contents the version is made.
    """
    folder = run.folder
    assert folder is not None
    digest = hashlib.sha256(f"{sha256_of(folder / RECORD)} {fingerprint(folder)}".encode())
    return ServedRun(name, run, digest.hexdigest()[:12], {}).showing(_example(run))


def _example(run: BaseRun) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(template_fields(run.template), "A film to remember.")
    options = run.option_columns
    if len(options) == 1:
        return {**row, options[0]: ["the first", "the second"]}
    return {**row, **{name: f"option {number + 1}" for number, name in enumerate(options)}}
