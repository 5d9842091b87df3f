"""``predgen.json`` of a run that gives several answers: what all fields share, and what each has of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

from predgen.config import Scoring, Task
from predgen.data.columns import TargetField
from predgen.errors import RunFolderError
from predgen.training.run_folder import (
    FORMAT_VERSION,
    KIND,
    RECORD,
    RunRecord,
    checked_fields,
    read_checked,
)

RecordKind = Literal["record", "multilabel"]


@dataclasses.dataclass(frozen=True)
class FieldRecord:
    """One field of it.

    Args:
        name: What prompts and predictions call it.
        column: Where its target is found.
        task: What kind of prediction.
        label: Multi-label: the label that the column's list has or has not.
        separator: Multi-label: what stands between labels in a text.
        space: The answer space, as its `to_json` gives it.
        decision: The default decision, chosen on dev.
        metric: The metric it was chosen by.
        dev_value: That metric on dev.
        mean: The training targets' mean (numbers), of log grids and free numbers that of their logarithms; see `Scale`.
        spread: The standard deviation of the same.
        calibration: What is done to every score.
        baseline: What a constant prediction needs.
    """

    name: str
    column: str
    task: Task
    label: str | None
    separator: str | None
    space: dict[str, Any]
    decision: str
    metric: str
    dev_value: float
    mean: float
    spread: float
    calibration: dict[str, Any]
    baseline: dict[str, Any]

    @property
    def target(self) -> TargetField:
        """How its targets are read."""
        return TargetField(self.name, self.column, self.task, None, self.label, self.separator)


@dataclasses.dataclass(frozen=True)
class SharedRecord:
    """The contents of the file.

    Args:
        kind: A record of fields, or a yes or no for each of several labels.
        template: How a row becomes the prompt's body.
        max_tokens: Longest prompt in tokens.
        base: name, revision, sha256 and licence of the base model.
        metric: What selected the checkpoint.
        dev_value: That metric on dev, at the chosen checkpoint.
        best_step: The optimizer step of the chosen checkpoint.
        data: Source, fingerprint and numbers of rows.
        total_steps: Optimizer steps of the run.
        versions: Of predgen and the libraries that matter.
        config: The resolved settings.
        scoring: How answers are scored.
        fields: One a field.
        format_version: Of this file.
    """

    kind: RecordKind
    template: str
    max_tokens: int
    base: dict[str, Any]
    metric: str
    dev_value: float
    best_step: int
    data: dict[str, Any]
    total_steps: int
    versions: dict[str, str]
    config: dict[str, Any]
    scoring: Scoring
    fields: tuple[FieldRecord, ...]
    format_version: int = FORMAT_VERSION

    def of_field(self, field: FieldRecord) -> RunRecord:
        """The record that a run of this field alone would have."""
        return RunRecord(
            task=field.task,
            template=self.template,
            target=field.name,
            max_tokens=self.max_tokens,
            space=field.space,
            base=self.base,
            decision=field.decision,
            metric=field.metric,
            dev_value=field.dev_value,
            best_step=self.best_step,
            mean=field.mean,
            spread=field.spread,
            calibration=field.calibration,
            baseline=field.baseline,
            data=self.data,
            total_steps=self.total_steps,
            versions=self.versions,
            config=self.config,
            scoring=self.scoring,
        )


def read_shared(folder: Path) -> SharedRecord | None:
    """Reads ``predgen.json`` where it is of a run with several answers; None where there is one.

    Raises:
        RunFolderError: As `read_record` says.
    """
    record = read_checked(folder)
    if KIND not in record:
        return None
    checked_fields(SharedRecord, record, folder / RECORD)
    if not isinstance(record["fields"], list) or not record["fields"]:
        raise RunFolderError(f"{folder / RECORD} is damaged: it has no fields.")
    fields = tuple(FieldRecord(**checked_fields(FieldRecord, field, folder / RECORD)) for field in record["fields"])
    return SharedRecord(**{**record, "fields": fields})
