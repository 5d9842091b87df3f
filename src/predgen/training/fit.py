"""One run from settings to run folder, in the order in which things happen."""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import set_seed
from transformers.utils import logging as transformers_logging

from predgen import __version__
from predgen.answers.infer import fixed_settings
from predgen.answers.spaces import FreeNumber, LabelSet, Space
from predgen.config import RunConfig, Task
from predgen.data.batches import TrainingRow
from predgen.data.objects import RowsInMemory
from predgen.data.prompts import EncodedRows
from predgen.errors import ConfigError, Interrupted
from predgen.evaluation import Targets, decision_metrics
from predgen.metrics import check_metric, default_metric
from predgen.model.bases import Base
from predgen.model.build import Setting, build_method, build_writer, check_director, check_names, director_kind
from predgen.model.outputs import Scores
from predgen.model.scale import Scale, scale_of
from predgen.peft_methods import PeftMethod, peft_method
from predgen.prediction import score_prompts, score_rows
from predgen.run import Run, load
from predgen.training.bench import Bench, load_base_for, set_up_bench
from predgen.training.calibration import check_calibration, judge
from predgen.training.card import write_card
from predgen.training.checkpoints import step_of
from predgen.training.dev_result import DevResult
from predgen.training.estimate import Estimate, estimate, seconds_of
from predgen.training.guards import StopOnSignal, TimeBudget
from predgen.training.prepare import GivenRows, Prepared, Say, prepare
from predgen.training.progress import MetricsLog, ProgressBar
from predgen.training.results import draw_figures, write_splits
from predgen.training.resume import can_go_on, checkpoint_to_go_on_from, cut_log, stored_steps
from predgen.training.row_weights import row_weights
from predgen.training.run_folder import (
    CHECKPOINTS,
    CONFIG,
    HELD_OUT,
    LOG,
    METRICS,
    RECORD,
    RunRecord,
    claim,
    read_json,
    write_json,
)
from predgen.training.start import continued, start_weights
from predgen.training.trackers import check_trackers, tracker_callbacks
from predgen.training.trainer import PredGenTrainer
from predgen.training.weights import save_director


@dataclass(frozen=True)
class Fitted:
    """What `fit` returns.

    Args:
        run: Ready to predict.
        folder: Where it was saved.
        metrics: What metrics.json holds: "dev" and, if there were test rows, "test".
        reported: Scores and targets of the test rows, if there were any and they were scored just now.
    """

    run: Run
    folder: Path
    metrics: dict[str, Any]
    reported: tuple[Scores, Targets] | None


def fit(
    config: RunConfig,
    overwrite: bool = False,
    say: Say = print,
    trust_remote_code: bool = False,
    resume: bool = False,
    accept_changes: bool = False,
    start_from: str | Path | None = None,
    data: RowsInMemory | None = None,
    dev: RowsInMemory | None = None,
    test: RowsInMemory | None = None,
) -> Fitted:
    """Trains a method and writes its run folder.

    Args:
        config: All settings.
        overwrite: Whether a run that is in the output folder may be replaced.
        say: Takes one line at a time: what was decided, and why.
        trust_remote_code: Whether code that comes with the base model may run.
        resume: Go on with the stopped run in the output folder; start one where there is none.
        accept_changes: With `resume`: go on even if settings or rows have changed since.
        start_from: A finished run whose weights are the start; the settings must fit it (see `continued`).
        data: Rows to fit on instead of `data.source`: a DataFrame, a `datasets` Dataset, or any iterable of mappings.
        dev: Rows to select on instead of `data.dev`, likewise.
        test: Rows to report on instead of `data.eval`, likewise.

    Raises:
        PredgenError: If settings, data, model or output folder cannot be used; nothing that was there is lost.
        Interrupted: If it was stopped by a signal; the message says how to go on.
    """
    check_names(config)
    peft = peft_method(config.peft.method)
    check_trackers(config.train.report_to)
    if config.train.precision == "fp16" and not torch.cuda.is_available():
        raise ConfigError("train.precision=fp16 needs a GPU.", "On a CPU bf16 takes as little memory.")
    budget = None if config.train.time_budget is None else seconds_of(config.train.time_budget)
    if start_from is not None:
        config = continued(config, Path(start_from), say)
    prepared = prepare(config, say, GivenRows(data, dev, test))
    task = prepared.schema.task
    metric = config.train.metric or default_metric(prepared.space)
    check_metric(metric, prepared.space)
    check_director(config, task, prepared.space)
    check_calibration(config.train.calibrate, len(prepared.dev))
    folder = Path(config.out or f"runs/{Path(prepared.train.source).stem}-{config.method}")
    config = _resolved(config, prepared, task, metric, folder)
    if resume and (folder / RECORD).exists():
        say(f"The run in {folder} is finished; nothing is left to do. (fit --from {folder} trains it on new rows)")
        return Fitted(load(folder, trust_remote_code=trust_remote_code), folder, read_json(folder, METRICS), None)
    going_on, checkpoint = resume and can_go_on(folder), None
    if going_on:
        config = stored_steps(config, folder)
        checkpoint = checkpoint_to_go_on_from(folder, config, prepared, accept_changes, say)

    bench = set_up_bench(config, prepared, say, trust_remote_code)
    prepared = replace(prepared, space=bench.space)
    started = None if start_from is None else start_weights(Path(start_from), bench.base.sha256, trust_remote_code)
    scale = started.scale if started else _scale(prepared.space, prepared.train.targets)
    rows = _training_rows(config, prepared, bench.prompts["training"])

    def build(total_steps: int, base: Base) -> nn.Module:
        set_seed(config.train.seed)
        lm = peft.build(base.model, config.peft, total_steps)
        setting = Setting(config, task, prepared.space, total_steps, scale)
        built = build_method(build_writer(lm, config, bench.scoring), bench.table, setting)
        if started is not None:
            started.put_into(built)
        return built.to("cuda" if torch.cuda.is_available() else "cpu")

    total_steps = _total_steps(config, len(rows))
    method = build(total_steps, bench.base)
    expected = _estimate(method, rows, bench, config)
    if budget is not None and config.train.max_steps is None:
        fitting = expected.steps_within(budget, config.train.evaluations)
        if fitting < total_steps:
            say(f"A time budget of {config.train.time_budget} leaves room for {fitting} of {total_steps} steps.")
            total_steps = max(1, fitting)
            # The first base carries an adapter already, and schedules follow the number of steps.
            method = build(total_steps, load_base_for(config, say, trust_remote_code))
        config = replace(config, train=replace(config.train, max_steps=total_steps))
    trained = sum(parameter.numel() for parameter in method.parameters() if parameter.requires_grad)
    say(f"Training {config.method} on {bench.base.name}: {trained:,} parameters learn, by {metric} on dev.")
    say(expected.line(total_steps, min(config.train.evaluations, total_steps)))

    if not going_on:
        claim(folder, overwrite)
    (folder / CONFIG).write_text(config.to_yaml(), encoding="utf-8")
    write_splits(folder, prepared)
    first_step = 0 if checkpoint is None else step_of(checkpoint)
    cut_log(folder, first_step)

    reader: str | None = method.reader_name  # type: ignore[assignment]

    def evaluate_dev() -> DevResult:
        scores = score_rows(method, bench.prompts["dev"], config.train.eval_batch_size)
        return DevResult(decision_metrics(scores, prepared.space, reader, prepared.dev.targets), metric, scores)

    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    stop = StopOnSignal()
    trainer = PredGenTrainer(
        method=method,
        peft=peft,
        rows=rows,
        evaluate_dev=evaluate_dev,
        config=config.train,
        total_steps=total_steps,
        folder=folder,
        metric=metric,
        callbacks=[
            MetricsLog(folder / LOG),
            ProgressBar(),
            stop,
            *([TimeBudget(budget, say)] if budget is not None else []),
            *tracker_callbacks(config.train.report_to, folder, first_step),
        ],
    )
    with stop.listening():
        trainer.go_on(checkpoint)
    if stop.asked:
        raise Interrupted(
            f"Stopped at step {trainer.state.global_step} of {total_steps}, which is saved.",
            remedy=f"Go on with: predgen fit --resume --out {folder}",
        )
    if trainer.guard.skipped:
        say(f"{trainer.guard.skipped} steps or parts of steps were left out, since they were not finite.")
    best_step = trainer.best()
    # A run that went on does not have the scores of before; the weights are the best ones' again.
    on_dev = trainer.dev_results.get(best_step) or evaluate_dev()
    judged = judge(on_dev.scores, prepared.space, reader, prepared.dev.targets, metric, config.train.calibrate, say)
    best = judged.result

    record = RunRecord(
        task=task,
        template=prepared.schema.template,
        target=prepared.schema.target,
        max_tokens=bench.encoder.max_tokens,
        space=prepared.space.to_json(),
        base={
            "name": bench.base.name,
            "revision": config.model.revision,
            "sha256": bench.base.sha256,
            "licence": bench.base.licence,
        },
        decision=best.decision,
        metric=metric,
        dev_value=best.value,
        best_step=best_step,
        mean=scale.mean,
        spread=scale.spread,
        calibration=asdict(judged.calibration),
        baseline=_baseline(prepared.space, prepared.train.targets),
        data=_data_record(prepared),
        total_steps=total_steps,
        versions=_versions(),
        config=config.to_dict(),
        scoring=bench.scoring,
    )
    run = Run(
        record=record,
        method=method.eval(),
        space=prepared.space,
        encoder=bench.encoder,
        tokenizer=bench.base.tokenizer,
        calibration=judged.calibration,
        conformal=judged.conformal,
        batch_size=config.train.eval_batch_size,
    )
    _save(run, folder, peft)
    metrics = {"dev": best.record(best_step)}
    reported = None
    if len(prepared.test):
        raw = run.score_raw(prepared.test.bodies)
        reported = (run.calibration.apply(raw, prepared.space), prepared.test.targets)
        metrics["test"] = run.evaluate_scores(prepared.test.bodies, *reported).to_json()
    draw_figures(folder, run, None if reported is None else (raw, *reported))
    write_json(folder / METRICS, metrics)
    write_card(folder, run.record, metrics)
    write_json(folder / RECORD, run.record.__dict__)  # last: a folder with this file is a finished run
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return Fitted(run, folder, metrics, reported)


def _estimate(method: nn.Module, rows: Sequence[TrainingRow], bench: Bench, config: RunConfig) -> Estimate:
    dev, size = bench.prompts["dev"].prompts, config.train.eval_batch_size

    def score_some_dev() -> float:
        started = time.perf_counter()
        score_prompts(method, dev[:size], size)
        return (time.perf_counter() - started) * len(dev) / len(dev[:size])

    return estimate(method, rows, config.train, score_some_dev)


def _resolved(config: RunConfig, prepared: Prepared, task: Task, metric: str, folder: Path) -> RunConfig:
    """The settings with everything that was inferred filled in, so that they alone repeat the run."""
    space = prepared.space
    answers = replace(config.space, **fixed_settings(space))
    return replace(
        config,
        task=task,
        out=str(folder),
        data=replace(config.data, text=None, template=prepared.schema.template, target=prepared.schema.target),
        director=replace(config.director, kind=director_kind(config, task, space)),
        space=answers,
        train=replace(config.train, metric=metric),
    )


def _training_rows(config: RunConfig, prepared: Prepared, encoded: EncodedRows) -> list[TrainingRow]:
    """One for each prompt; the windows of a long text share its weight."""
    space, targets = prepared.space, prepared.train.targets
    weights = row_weights(config.train.class_weights, space, targets, prepared.train.weights)
    windows = Counter(encoded.rows)
    scale = len(encoded.prompts) / len(targets)  # the mean over prompts stays 1
    rows = []
    for number, (ids, row) in enumerate(zip(encoded.prompts, encoded.rows, strict=True)):
        # What cannot be listed is known by the row whose answer it is.
        answer = row if isinstance(space, FreeNumber) else space.index(targets[row])
        value = float(answer) if isinstance(space, LabelSet) else float(targets[row])
        rows.append(TrainingRow(ids, answer, value, number, weights[row] / windows[row] * scale))
    return rows


def _scale(space: Space, targets: Targets) -> Scale:
    return Scale() if isinstance(space, LabelSet) else scale_of(space, [float(target) for target in targets])


def _baseline(space: Space, targets: Targets) -> dict[str, Any]:
    if isinstance(space, LabelSet):
        counts = Counter(str(target) for target in targets)
        return {"shares": {label: counts[label] / len(targets) for label in space.labels}}
    numbers = np.array(targets, dtype=float)
    constants = {"mean": float(numbers.mean()), "median": float(np.median(numbers))}
    if isinstance(space, FreeNumber):
        constants["mode"] = Counter(numbers.tolist()).most_common(1)[0][0]
    return constants


def _total_steps(config: RunConfig, rows: int) -> int:
    if config.train.max_steps is not None:
        return config.train.max_steps
    batches = math.ceil(rows / config.train.batch_size)
    return max(1, math.ceil(config.train.epochs * math.ceil(batches / config.train.accumulate)))


def _data_record(prepared: Prepared) -> dict[str, Any]:
    parts = {"train": prepared.train, "dev": prepared.dev, "test": prepared.test}
    return {
        name: {"source": part.source, "fingerprint": part.fingerprint, "rows": len(part)}
        for name, part in parts.items()
    }


def _versions() -> dict[str, str]:
    return {"predgen": __version__, **{name: version(name) for name in ("torch", "transformers", "peft", "tokenizers")}}


def _save(run: Run, folder: Path, peft: PeftMethod) -> None:
    peft.save(run.method.writer.lm, folder, run.record.config["model"]["name"])  # type: ignore[union-attr]
    save_director(run.method, folder)
    run.tokenizer.save_pretrained(folder)
    write_json(folder / HELD_OUT, {name: errors.to_json() for name, errors in run.conformal.items()})
