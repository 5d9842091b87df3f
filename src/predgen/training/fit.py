"""One run from settings to run folder, in the order in which things happen."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.utils import logging as transformers_logging

from predgen.config import RunConfig
from predgen.data.objects import RowsInMemory
from predgen.errors import Interrupted
from predgen.evaluation import Targets
from predgen.loading import load
from predgen.model.defaults import start_of
from predgen.model.method import Method
from predgen.model.outputs import Scores
from predgen.model.record import RecordMethod
from predgen.peft_methods import PeftMethod
from predgen.processes import ALONE, Processes, join_processes
from predgen.record_run import RecordRun
from predgen.run import Run
from predgen.scoring import score_answer_rows
from predgen.sharded import asked_to_shard, is_sharded
from predgen.training.bench import set_up_bench
from predgen.training.card import write_card
from predgen.training.checkpoints import step_of
from predgen.training.course import Course, set_course
from predgen.training.dev_result import DevResult
from predgen.training.factory import MethodFactory
from predgen.training.finish import Trained, finished_run
from predgen.training.guards import StopOnSignal, TimeBudget
from predgen.training.plan import Plan, plan_run
from predgen.training.prepare import GivenRows, Say
from predgen.training.probe import check_start, copy_probe, share_probe, start_writer
from predgen.training.progress import MetricsLog, ProgressBar
from predgen.training.refit import refit
from predgen.training.refit_weights import asked_refit, check_refit
from predgen.training.results import draw_figures, write_splits
from predgen.training.resume import can_go_on, checkpoint_to_go_on_from, cut_log, stored_steps
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
    write_text,
)
from predgen.training.start import start_weights
from predgen.training.trackers import tracker_callbacks
from predgen.training.trainer import PredGenTrainer
from predgen.training.weights import load_trained, save_director, trained_tensors

Reported = tuple[list[Scores], tuple[Targets, ...]]


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
    reported: Reported | None


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
    origin = None if start_from is None else Path(start_from)
    plan = plan_run(config, given, origin, say)
    folder = plan.folder
    if resume and (folder / RECORD).exists():
        say(f"The run in {folder} is finished; nothing is left to do. (fit --from {folder} trains it on new rows)")
        return Fitted(load(folder, trust_remote_code=trust_remote_code), folder, read_json(folder, METRICS), None)
    going_on, checkpoint = resume and can_go_on(folder), None
    if going_on:
        plan = replace(plan, config=stored_steps(plan.config, folder))
        checkpoint = checkpoint_to_go_on_from(folder, plan.config, plan.prepared, accept_changes, say)

    bench = set_up_bench(plan.config, plan.prepared, say, trust_remote_code)
    start = None if origin is None else start_weights(origin, bench.base.sha256, trust_remote_code)
    factory = MethodFactory(plan, bench, start, say, trust_remote_code)
    course = set_course(factory, processes, under_way=checkpoint is not None)
    if origin is None:
        check_start(course.method, len(course.rows), plan.config)
        check_refit(course.method, len(course.rows), plan.config)
    plan = replace(plan, config=course.config)

    first_step = 0 if checkpoint is None else step_of(checkpoint)
    processes.wait()  # what is there has been read by all, and may be changed
    if processes.main:
        if not going_on:
            claim(folder, overwrite)
        write_text(folder / CONFIG, plan.config.to_yaml())
        write_splits(folder, plan.prepared)
        cut_log(folder, first_step)

    if origin is not None and processes.main:
        copy_probe(origin, folder)
    if checkpoint is not None or origin is not None:
        share_probe(course.method, folder, processes)
    else:
        asked = start_of(plan.fields[0], plan.prepared.schema.fields[0].task, bench.spaces[0])
        start_writer(course.method, course.rows, asked, plan.config, folder, processes, say)

    def evaluate_dev(method: Method[Any] | RecordMethod = course.method) -> DevResult:
        # Weights in parts are put together by all in every pass: each makes all passes, since none may make fewer.
        sharing = ALONE if is_sharded(method) else processes
        scores = score_answer_rows(method, bench.prompts["dev"], plan.config.train.eval_batch_size, processes=sharing)
        return plan.examiner.dev(scores, method.reader_names)

    shown = _shown(plan, show_progress, first_step) if processes.main else []
    trainer = _train(plan, course, evaluate_dev, checkpoint, [*shown, *callbacks], processes, say)
    method = course.method
    if is_sharded(method):
        say("The weights are put together again, in each process.")
        parts = trained_tensors(method)
        method = factory.rebuild(course.total_steps).to(course.device)
        load_trained(method, parts)
        share_probe(method, folder, processes)
    # A run that went on does not have the scores of before; the weights are the best ones' again.
    best_step = trainer.best()
    on_dev = trainer.dev_results.get(best_step) or evaluate_dev()
    weights = asked_refit(method, bench.spaces[0], factory.scales[0], plan.config)
    if weights is not None:
        on_dev = refit(weights, course.rows, plan, bench, partial(evaluate_dev, method), on_dev, processes, say)
    verdict = plan.examiner.verdict(on_dev.scores, method.reader_names, plan.config.train.calibrate, say)
    trained = Trained(plan, bench, method, factory.scales, verdict, best_step, course.total_steps)
    run = replace(finished_run(trained), folder=folder).shared_by(processes)
    metrics, reported = _write_run(run, trained, report, processes)
    return Fitted(run.shared_by(ALONE), folder, metrics, reported)


def _shown(plan: Plan, show_progress: bool, first_step: int) -> list[TrainerCallback]:
    """Who is told of every log: the log itself, the terminal, trackers."""
    bar = [ProgressBar()] if show_progress else []
    trackers = tracker_callbacks(plan.config.train.report_to, plan.folder, first_step)
    return [MetricsLog(plan.folder / LOG), *bar, *trackers]


def _train(
    plan: Plan,
    course: Course,
    evaluate_dev: Callable[[], DevResult],
    checkpoint: Path | None,
    callbacks: Sequence[TrainerCallback],
    processes: Processes,
    say: Say,
) -> PredGenTrainer:
    """Takes all steps; at the end the course's method has the best checkpoint's weights.

    Raises:
        Interrupted: If it was stopped by a signal.
    """
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    stop = StopOnSignal(processes)
    budget = [] if plan.seconds is None else [TimeBudget(plan.seconds, say, processes)]
    trainer = PredGenTrainer(
        method=course.method,
        peft=plan.peft,
        rows=course.rows,
        numbers=course.numbers,
        evaluate_dev=evaluate_dev,
        config=plan.config.train,
        total_steps=course.total_steps,
        folder=plan.folder,
        metric=plan.metric,
        callbacks=[stop, *budget, *callbacks],
        division=course.division,
        say=say,
    )
    remedy = f"Start all processes again: predgen fit --resume --out {plan.folder}"
    with processes.watching(lambda: f"at step {trainer.state.global_step}", remedy), stop.listening():
        trainer.go_on(checkpoint)
    if stop.asked:
        raise Interrupted(
            f"Stopped at step {trainer.state.global_step} of {course.total_steps}, which is saved.",
            remedy=f"Go on with: predgen fit --resume --out {plan.folder}",
        )
    if skipped := sum(processes.gathered(trainer.guard.skipped)):
        say(f"{skipped} steps or parts of steps were left out, since they were not finite.")
    return trainer


def _write_run(
    run: Run | RecordRun, trained: Trained, report: bool, processes: Processes
) -> tuple[dict[str, Any], Reported | None]:
    """Saves the run, scores what is only reported, and writes the record last."""
    folder, prepared = trained.plan.folder, trained.plan.prepared
    if processes.main:
        _save(run, folder, trained.plan.peft)
    metrics: dict[str, Any] = {"dev": trained.verdict.result.record(trained.best_step)}
    raw = reported = None
    if report and len(prepared.test):
        bodies, targets = prepared.test.bodies, prepared.test.targets
        raw = run.score_answers_raw(bodies)
        reported = (run.calibrate(raw), targets)
        metrics["test"] = run.evaluate_answers(bodies, *reported).to_json()
    if processes.main:
        if report:
            draw_figures(folder, run, None if raw is None or reported is None else (raw, *reported))
        write_json(folder / METRICS, metrics)
        write_card(folder, run, metrics)
        write_json(folder / RECORD, asdict(run.record))  # last: a folder with this file is a finished run
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return metrics, reported


def _silent(line: str) -> None:
    """What the main process says, the others need not."""


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
