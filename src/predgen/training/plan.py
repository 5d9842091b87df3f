"""What a run is before any weight is loaded: settings that hold together, its rows, what selects, where it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from predgen.answers.infer import fixed_settings
from predgen.answers.spaces import FreeNumber, LabelSet, Space
from predgen.config import FieldConfig, RunConfig
from predgen.errors import ConfigError
from predgen.evaluation import Targets
from predgen.metrics import Baseline
from predgen.model.build import check_names
from predgen.model.checks import check_answers, check_director, check_options
from predgen.model.defaults import director_kind
from predgen.peft_methods import PeftMethod, peft_method
from predgen.training.calibration import check_calibration
from predgen.training.estimate import seconds_of
from predgen.training.examiner import EXAMINERS, Examined, Examiner
from predgen.training.prepare import GivenRows, Prepared, Say, prepare
from predgen.training.start import continued
from predgen.training.trackers import check_trackers


@dataclass(frozen=True)
class Plan:
    """A run that can be started.

    Args:
        config: The settings with everything that was inferred filled in, so that they alone repeat the run.
        fields: The settings that hold for each answer.
        prepared: The rows.
        peft: How the writer is adapted.
        examiner: Scores of the dev rows → what selects the checkpoint.
        baselines: What each answer's constant predictions need, of the training targets.
        folder: Where the run is saved.
        seconds: How long training may take; None: as long as it takes.
    """

    config: RunConfig
    fields: tuple[RunConfig, ...]
    prepared: Prepared
    peft: PeftMethod
    examiner: Examiner
    baselines: tuple[Baseline, ...]
    folder: Path
    seconds: float | None

    @property
    def metric(self) -> str:
        """What selects the checkpoint."""
        return self.examiner.metric


def plan_run(config: RunConfig, given: GivenRows, start_from: Path | None, say: Say) -> Plan:
    """Reads the rows and checks all that can be checked without the model.

    Args:
        config: All settings.
        given: Rows in memory, which win over the sources that the settings name.
        start_from: A finished run whose answers and weights are the start.
        say: Takes one line at a time: what was decided, and why.

    Raises:
        PredgenError: If settings or rows cannot be used.
    """
    check_names(config)
    peft = peft_method(config.peft.method)
    peft.check(config.peft)
    check_trackers(config.train.report_to)
    if config.train.precision == "fp16" and not torch.cuda.is_available():
        raise ConfigError("train.precision=fp16 needs a GPU.", "On a CPU bf16 takes as little memory.")
    seconds = None if config.train.time_budget is None else seconds_of(config.train.time_budget)
    if start_from is not None:
        config = continued(config, start_from, say)
    prepared = prepare(config, say, given)
    schema = prepared.schema
    baselines = tuple(_baseline(*each) for each in zip(prepared.spaces, prepared.train.targets, strict=True))
    answers = [
        Examined(*each) for each in zip(schema.fields, prepared.spaces, prepared.dev.targets, baselines, strict=True)
    ]
    examiner = EXAMINERS[schema.kind](answers, config.train.metric)
    fields = tuple(config.of_field(field.name) if schema.kind == "record" else config for field in schema.fields)
    for each, field, space in zip(fields, schema.fields, prepared.spaces, strict=True):
        check_director(each, field.task, space)
    check_answers(config, schema.kind)
    check_options(config, schema.kind, schema.fields[0].task)
    check_calibration(config.train.calibrate, len(prepared.dev))
    folder = Path(config.out or f"runs/{Path(prepared.train.source).stem}-{config.method}")
    resolved = _resolved(config, fields, prepared, examiner.metric, folder)
    return Plan(resolved, fields, prepared, peft, examiner, baselines, folder, seconds)


def _resolved(
    config: RunConfig, own_configs: Sequence[RunConfig], prepared: Prepared, metric: str, folder: Path
) -> RunConfig:
    """The settings with everything that was inferred filled in."""
    schema = prepared.schema
    columns = tuple(dict.fromkeys(field.column for field in schema.fields))
    resolved = replace(
        config,
        out=str(folder),
        data=replace(
            config.data, text=None, template=schema.template, target=columns[0] if len(columns) == 1 else columns
        ),
        train=replace(config.train, metric=metric),
    )
    if schema.kind == "multilabel":
        labels = tuple(field.name for field in schema.fields)
        return replace(resolved, task="multilabel", space=replace(config.space, labels=labels))
    fields = {
        field.name: FieldConfig(
            field.task,
            replace(own.space, **fixed_settings(space)),
            director_kind(own, field.task, space),
        )
        for own, field, space in zip(own_configs, schema.fields, prepared.spaces, strict=True)
    }
    if schema.kind == "record":
        return replace(resolved, task="record", fields=fields)
    only = next(iter(fields.values()))
    return replace(resolved, task=only.task, space=only.space, director=replace(config.director, kind=only.director))


def _baseline(space: Space, targets: Targets) -> dict[str, Any]:
    if isinstance(space, LabelSet):
        counts = Counter(str(target) for target in targets)
        return {"shares": {label: counts[label] / len(targets) for label in space.labels}}
    numbers = np.array(targets, dtype=float)
    constants = {"mean": float(numbers.mean()), "median": float(np.median(numbers))}
    if isinstance(space, FreeNumber):
        constants["mode"] = Counter(numbers.tolist()).most_common(1)[0][0]
    return constants
