"""One run from settings to run folder, in the order in which things happen."""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import TrainerCallback, set_seed
from transformers.utils import logging as transformers_logging

from predgen.answers.infer import fixed_settings
from predgen.answers.spaces import FreeNumber, LabelSet, Space
from predgen.config import FieldConfig, RunConfig
from predgen.data.batches import TrainingRow, behind_a_head
from predgen.data.objects import RowsInMemory
from predgen.data.prompts import EncodedRows
from predgen.errors import ConfigError, Interrupted
from predgen.evaluation import Targets
from predgen.loading import load
from predgen.model.bases import Base
from predgen.model.build import (
    Setting,
    build_fields_method,
    build_writer,
    check_answers,
    check_director,
    check_names,
    check_options,
    director_kind,
)
from predgen.model.method import Method
from predgen.model.outputs import Scores
from predgen.model.record import RecordMethod
from predgen.model.scale import Scale, scale_of
from predgen.model.shared_head import head_length
from predgen.peft_methods import PeftMethod, peft_method
from predgen.prediction import score_answer_rows, score_answers
from predgen.processes import ALONE, Processes, join_processes
from predgen.record_run import RecordRun
from predgen.run import Run
from predgen.sharded import asked_to_shard, is_sharded
from predgen.training.bench import Bench, load_base_for, set_up_bench
from predgen.training.calibration import check_calibration
from predgen.training.card import write_card
from predgen.training.checkpoints import step_of
from predgen.training.dev_result import DevResult
from predgen.training.estimate import Estimate, estimate, seconds_of
from predgen.training.examiner import EXAMINERS, Examined
from predgen.training.finish import Trained, finished_run
from predgen.training.guards import StopOnSignal, TimeBudget
from predgen.training.passes import Division, division_of, say_division
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
    claim,
    read_json,
    write_json,
)
from predgen.training.start import continued, start_weights
from predgen.training.trackers import check_trackers, tracker_callbacks
from predgen.training.trainer import PredGenTrainer
from predgen.training.weights import load_trained, save_director, trained_tensors


@dataclass(frozen=True)
class Fitted:
    """What `fit` returns.

    Args:
        run: Ready to predict.
        folder: Where it was saved.
        metrics: What metrics.json holds: "dev" and, if there were test rows, "test".
        reported: Scores and targets of the test rows, one for each answer, if there were any and they were scored just
            now.
    """

    run: Run | RecordRun
    folder: Path
    metrics: dict[str, Any]
    reported: tuple[list[Scores], tuple[Targets, ...]] | None


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
    report: bool = True,
    show_progress: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
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
        report: Score the test rows and draw figures; without, they are held out all the same.
        show_progress: A bar on a terminal, lines elsewhere.
        callbacks: Told of every log (dev results as ``dev_record``); what they raise ends the run.

    Raises:
        PredgenError: If settings, data, model or output folder cannot be used; nothing that was there is lost.
        Interrupted: If it was stopped by a signal; the message says how to go on.
        ProcessLost: If another of the processes that a launcher started ended.
    """
    asked_to_shard()  # what cannot be is refused before processes meet
    processes = join_processes()
    with processes.watching(lambda: "before or after training", "Start all processes again, with --resume."):
        fitted = _fit(
            processes,
            config,
            overwrite,
            say if processes.main else _silent,
            trust_remote_code,
            resume,
            accept_changes,
            start_from,
            GivenRows(data, dev, test),
            report,
            show_progress,
            callbacks,
        )
        processes.wait()  # the main one has written the last file
    return fitted


def _fit(
    processes: Processes,
    config: RunConfig,
    overwrite: bool,
    say: Say,
    trust_remote_code: bool,
    resume: bool,
    accept_changes: bool,
    start_from: str | Path | None,
    given: GivenRows,
    report: bool,
    show_progress: bool,
    callbacks: Sequence[TrainerCallback],
) -> Fitted:
    """`fit`, of one of the processes; all do the same, and the main one alone writes."""
    check_names(config)
    peft = peft_method(config.peft.method)
    peft.check(config.peft)
    check_trackers(config.train.report_to)
    if config.train.precision == "fp16" and not torch.cuda.is_available():
        raise ConfigError("train.precision=fp16 needs a GPU.", "On a CPU bf16 takes as little memory.")
    budget = None if config.train.time_budget is None else seconds_of(config.train.time_budget)
    if start_from is not None:
        config = continued(config, Path(start_from), say)
    prepared = prepare(config, say, given)
    schema = prepared.schema
    baselines = tuple(_baseline(*each) for each in zip(prepared.spaces, prepared.train.targets, strict=True))
    answers = [
        Examined(*each) for each in zip(schema.fields, prepared.spaces, prepared.dev.targets, baselines, strict=True)
    ]
    examiner = EXAMINERS[schema.kind](answers, config.train.metric)
    metric = examiner.metric
    configs = [config.of_field(field.name) if schema.kind == "record" else config for field in schema.fields]
    for each, field, space in zip(configs, schema.fields, prepared.spaces, strict=True):
        check_director(each, field.task, space)
    check_answers(config, schema.kind)
    check_options(config, schema.kind, schema.fields[0].task)
    check_calibration(config.train.calibrate, len(prepared.dev))
    folder = Path(config.out or f"runs/{Path(prepared.train.source).stem}-{config.method}")
    config = _resolved(config, prepared, metric, folder)
    if resume and (folder / RECORD).exists():
        say(f"The run in {folder} is finished; nothing is left to do. (fit --from {folder} trains it on new rows)")
        return Fitted(load(folder, trust_remote_code=trust_remote_code), folder, read_json(folder, METRICS), None)
    going_on, checkpoint = resume and can_go_on(folder), None
    if going_on:
        config = stored_steps(config, folder)
        checkpoint = checkpoint_to_go_on_from(folder, config, prepared, accept_changes, say)

    bench = set_up_bench(config, prepared, say, trust_remote_code)
    prepared = replace(prepared, spaces=bench.spaces)
    started = None if start_from is None else start_weights(Path(start_from), bench.base.sha256, trust_remote_code)
    scales = tuple(_scale(*each) for each in zip(prepared.spaces, prepared.train.targets, strict=True))
    scales = started.scales if started else scales
    rows = _training_rows(config, prepared, bench.prompts["training"])

    def build(total_steps: int, base: Base) -> Method[Any] | RecordMethod:
        set_seed(config.train.seed)
        lm = peft.build(base.model, config.peft, total_steps)
        settings = [
            Setting(each, field.task, space, total_steps, scale)
            for each, field, space, scale in zip(configs, schema.fields, prepared.spaces, scales, strict=True)
        ]
        built = build_fields_method(build_writer(lm, config, bench.scoring), bench.tables, bench.cues, settings)
        if started is not None:
            started.put_into(built)
        return built

    total_steps = _total_steps(config, len(rows))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Weights that are going to be divided among GPUs need not fit into one before.
    sharding = asked_to_shard()
    method = build(total_steps, bench.base).to("cpu" if sharding else device)
    if method.learns_behind_heads and not sharding:  # a head is read outside of the layers' own passes
        rows = behind_a_head(rows, head_length([row.ids for row in rows]))
    division = division_of(config.train, len(rows), processes)
    expected = None if sharding else _estimate(method, rows, bench, config, division, say)
    division = division if expected is None else expected.division
    say_division(config, division, say)
    if budget is not None and config.train.max_steps is None:
        if expected is None:
            raise ConfigError(
                "train.time_budget under FSDP:", "what a step takes is not known.", "Set train.max_steps."
            )
        fitting = expected.steps_within(budget, config.train.evaluations)
        if fitting < total_steps:
            say(f"A time budget of {config.train.time_budget} leaves room for {fitting} of {total_steps} steps.")
            total_steps = max(1, fitting)
            # The first base carries an adapter already, and schedules follow the number of steps.
            method = build(total_steps, load_base_for(config, say, trust_remote_code)).to(device)
        config = replace(config, train=replace(config.train, max_steps=total_steps))
    trained = sum(parameter.numel() for parameter in method.parameters() if parameter.requires_grad)
    say(f"Training {config.method} on {bench.base.name}: {trained:,} parameters learn, by {metric} on dev.")
    if expected is not None:
        say(expected.line(total_steps, min(config.train.evaluations, total_steps)))

    first_step = 0 if checkpoint is None else step_of(checkpoint)
    processes.wait()  # what is there has been read by all, and may be changed
    if processes.main:
        if not going_on:
            claim(folder, overwrite)
        (folder / CONFIG).write_text(config.to_yaml(), encoding="utf-8")
        write_splits(folder, prepared)
        cut_log(folder, first_step)

    readers = method.reader_names

    def evaluate_dev() -> DevResult:
        # Weights in parts are put together by all in every pass: each makes all passes, since none may make fewer.
        sharing = ALONE if is_sharded(method) else processes
        scores = score_answer_rows(method, bench.prompts["dev"], config.train.eval_batch_size, processes=sharing)
        return examiner.dev(scores, readers)

    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    stop = StopOnSignal(processes)
    shown = [MetricsLog(folder / LOG), *([ProgressBar()] if show_progress else [])] if processes.main else []
    trackers = tracker_callbacks(config.train.report_to, folder, first_step) if processes.main else []
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
            *shown,
            stop,
            *([TimeBudget(budget, say, processes)] if budget is not None else []),
            *trackers,
            *callbacks,
        ],
        division=division,
        say=say,
    )
    remedy = f"Start all processes again: predgen fit --resume --out {folder}"
    with processes.watching(lambda: f"at step {trainer.state.global_step}", remedy), stop.listening():
        trainer.go_on(checkpoint)
    if stop.asked:
        raise Interrupted(
            f"Stopped at step {trainer.state.global_step} of {total_steps}, which is saved.",
            remedy=f"Go on with: predgen fit --resume --out {folder}",
        )
    if skipped := sum(processes.gathered(trainer.guard.skipped)):
        say(f"{skipped} steps or parts of steps were left out, since they were not finite.")
    best_step = trainer.best()
    if is_sharded(method):
        say("The weights are put together again, in each process.")
        parts = trained_tensors(method)
        method = build(total_steps, load_base_for(config, say, trust_remote_code)).to(device)
        load_trained(method, parts)
    # A run that went on does not have the scores of before; the weights are the best ones' again.
    on_dev = trainer.dev_results.get(best_step) or evaluate_dev()
    verdict = examiner.verdict(on_dev.scores, readers, config.train.calibrate, say)
    trained_run = Trained(config, prepared, bench, method, scales, baselines, metric, verdict, best_step, total_steps)
    run = replace(finished_run(trained_run), folder=folder).shared_by(processes)
    if processes.main:
        _save(run, folder, peft)
    metrics = {"dev": verdict.result.record(best_step)}
    reported = None
    if report and len(prepared.test):
        bodies, targets = prepared.test.bodies, prepared.test.targets
        raw = run.score_answers_raw(bodies)
        reported = (run.calibrate(raw), targets)
        metrics["test"] = run.evaluate_answers(bodies, *reported).to_json()
    if processes.main:
        if report:
            draw_figures(folder, run, None if reported is None else (raw, *reported))
        write_json(folder / METRICS, metrics)
        write_card(folder, run, metrics)
        write_json(folder / RECORD, asdict(run.record))  # last: a folder with this file is a finished run
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return Fitted(run.shared_by(ALONE), folder, metrics, reported)


def _silent(line: str) -> None:
    """What the main process says, the others need not."""


def _estimate(
    method: nn.Module, rows: Sequence[TrainingRow], bench: Bench, config: RunConfig, division: Division, say: Say
) -> Estimate:
    encoded, size = bench.prompts["dev"], config.train.eval_batch_size
    dev, options = encoded.prompts, encoded.options

    def score_some_dev() -> float:
        started = time.perf_counter()
        score_answers(method, dev[:size], size, options=None if options is None else options[:size])
        return (time.perf_counter() - started) * len(dev) / len(dev[:size])

    return estimate(method, rows, division, score_some_dev, say)


def _resolved(config: RunConfig, prepared: Prepared, metric: str, folder: Path) -> RunConfig:
    """The settings with everything that was inferred filled in, so that they alone repeat the run."""
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
        for field, space in zip(schema.fields, prepared.spaces, strict=True)
        for own in [config.of_field(field.name) if schema.kind == "record" else config]
    }
    if schema.kind == "record":
        return replace(resolved, task="record", fields=fields)
    only = next(iter(fields.values()))
    return replace(resolved, task=only.task, space=only.space, director=replace(config.director, kind=only.director))


def _training_rows(config: RunConfig, prepared: Prepared, encoded: EncodedRows) -> list[TrainingRow]:
    """One for each prompt; the windows of a long text share its weight."""
    columns = prepared.train.targets
    weights = row_weights(config.train.class_weights, prepared.spaces[0], columns[0], prepared.train.weights)
    windows = Counter(encoded.rows)
    scale = len(encoded.prompts) / len(prepared.train)  # the mean over prompts stays 1
    rows = []
    for number, (ids, row) in enumerate(zip(encoded.prompts, encoded.rows, strict=True)):
        # What cannot be listed is known by the row whose answer it is.
        own = bool(prepared.schema.options)
        answers = tuple(
            row if own or isinstance(space, FreeNumber) else space.index(targets[row])
            for space, targets in zip(prepared.spaces, columns, strict=True)
        )
        values = tuple(
            float(space.index(targets[row])) if isinstance(space, LabelSet) else float(targets[row])
            for space, targets in zip(prepared.spaces, columns, strict=True)
        )
        weight = weights[row] / windows[row] * scale
        several = prepared.schema.kind != "single"
        rows.append(
            TrainingRow(ids, answers if several else answers[0], values if several else values[0], number, weight)
        )
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


def _save(run: Run | RecordRun, folder: Path, peft: PeftMethod) -> None:
    peft.save(run.method.writer.lm, folder, run.record.config["model"]["name"])  # type: ignore[union-attr]
    save_director(run.method, folder)
    one = next(iter(run.parts.values()))
    one.tokenizer.save_pretrained(folder)
    held_out = {
        name: {decision: errors.to_json() for decision, errors in part.conformal.items()}
        for name, part in run.parts.items()
    }
    write_json(folder / HELD_OUT, held_out if isinstance(run, RecordRun) else held_out[run.record.target])
