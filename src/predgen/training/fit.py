"""One run from settings to run folder, in the order in which things happen."""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import set_seed
from transformers.utils import logging as transformers_logging

from predgen import __version__
from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config import LongText, RunConfig, Scoring, Task
from predgen.data.batches import TrainingRow
from predgen.data.objects import RowsInMemory
from predgen.data.prompts import EncodedRows, PromptEncoder, frame_of
from predgen.decoding.check import choose_scoring, windows_branch
from predgen.decoding.decide import number_decisions, residual_radius
from predgen.errors import ConfigError, Interrupted
from predgen.evaluation import Targets, decision_metrics
from predgen.metrics import check_metric, default_metric
from predgen.model.bases import Base, load_base
from predgen.model.build import Setting, build_method, build_writer, check_director, check_names, director_kind
from predgen.model.outputs import Scores
from predgen.model.writer import context_length
from predgen.peft_methods import PeftMethod, peft_method
from predgen.prediction import score_prompts, score_rows
from predgen.run import Run, load
from predgen.training.card import write_card
from predgen.training.checkpoints import step_of
from predgen.training.dev_result import DevResult
from predgen.training.estimate import Estimate, estimate, seconds_of
from predgen.training.guards import StopOnSignal, TimeBudget
from predgen.training.prepare import Examples, GivenRows, Prepared, Say, prepare
from predgen.training.progress import MetricsLog, ProgressBar
from predgen.training.results import draw_figures, write_splits
from predgen.training.resume import can_go_on, checkpoint_to_go_on_from, cut_log, stored_steps
from predgen.training.row_weights import row_weights
from predgen.training.run_folder import (
    CHECKPOINTS,
    CONFIG,
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


@dataclass(frozen=True)
class _Bench:
    """What a method is trained with."""

    base: Base
    table: AnswerTable
    encoder: PromptEncoder
    prompts: dict[str, EncodedRows]
    scoring: Scoring


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
    metric = config.train.metric or default_metric(task)
    check_metric(metric, task, prepared.space.texts)
    check_director(config, task)
    folder = Path(config.out or f"runs/{Path(prepared.train.source).stem}-{config.method}")
    config = _resolved(config, prepared, task, metric, folder)
    if resume and (folder / RECORD).exists():
        say(f"The run in {folder} is finished; nothing is left to do. (fit --from {folder} trains it on new rows)")
        return Fitted(load(folder, trust_remote_code=trust_remote_code), folder, read_json(folder, METRICS), None)
    going_on, checkpoint = resume and can_go_on(folder), None
    if going_on:
        config = stored_steps(config, folder)
        checkpoint = checkpoint_to_go_on_from(folder, config, prepared, accept_changes, say)

    bench = _bench(config, prepared, say, trust_remote_code)
    started = None if start_from is None else start_weights(Path(start_from), bench.base.sha256, trust_remote_code)
    mean, spread = started.standardisation if started else _standardisation(prepared.space, prepared.train.targets)
    rows = _training_rows(config, prepared, bench.prompts["training"])

    def build(total_steps: int, base: Base) -> nn.Module:
        set_seed(config.train.seed)
        lm = peft.build(base.model, config.peft, total_steps)
        setting = Setting(config, task, prepared.space, total_steps, mean, spread)
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
            method = build(total_steps, _load_base(config, say, trust_remote_code))
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
    best = trainer.dev_results.get(best_step) or evaluate_dev()

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
        mean=mean,
        spread=spread,
        radius=_radius(prepared, best, reader),
        baseline=_baseline(prepared.space, prepared.train.targets),
        data=_data_record(prepared),
        total_steps=total_steps,
        versions=_versions(),
        config=config.to_dict(),
        scoring=bench.scoring,
    )
    run = Run(record, method.eval(), prepared.space, bench.encoder, bench.base.tokenizer, config.train.eval_batch_size)
    _save(run, folder, peft)
    metrics = {"dev": best.record(best_step)}
    reported = (run.score(prepared.test.bodies), prepared.test.targets) if len(prepared.test) else None
    if reported is not None:
        metrics["test"] = run.evaluate_scores(prepared.test.bodies, *reported).to_json()
    draw_figures(folder, run, reported)
    write_json(folder / METRICS, metrics)
    write_card(folder, run.record, metrics)
    write_json(folder / RECORD, run.record.__dict__)  # last: a folder with this file is a finished run
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return Fitted(run, folder, metrics, reported)


def _bench(config: RunConfig, prepared: Prepared, say: Say, trust_remote_code: bool) -> _Bench:
    base = _load_base(config, say, trust_remote_code)
    prompt = config.prompt
    frame = frame_of(base.tokenizer, prompt.cue, prompt.chat)
    if frame.behind != prompt.cue:
        say("Prompts go through the model's chat template. (prompt.chat)")
    table = AnswerTable(build_trie(prepared.space, base.tokenizer, frame.behind))
    context = context_length(base.model, windows_branch(base.model)) - table.depth - 1
    encoder = PromptEncoder(
        base.tokenizer, prompt.cue, min(prompt.max_tokens or context, context), prompt.long, prompt.chat
    )
    prompts = {
        name: _encode(encoder, examples, name, prompt.long, say)
        for name, examples in (("training", prepared.train), ("dev", prepared.dev), ("test", prepared.test))
    }
    return _Bench(
        base, table, encoder, prompts, choose_scoring(base.model, table, prompts["training"].prompts[:2], say)
    )


def _load_base(config: RunConfig, say: Say, trust_remote_code: bool) -> Base:
    # Weights that learn stay in float32; a frozen base is held as the passes want it.
    precision = "fp32" if peft_method(config.peft.method).whole else config.train.precision
    return load_base(config.model.name, config.model.revision, trust_remote_code, say, precision)


def _estimate(method: nn.Module, rows: Sequence[TrainingRow], bench: _Bench, config: RunConfig) -> Estimate:
    dev, size = bench.prompts["dev"].prompts, config.train.eval_batch_size

    def score_some_dev() -> float:
        started = time.perf_counter()
        score_prompts(method, dev[:size], size)
        return (time.perf_counter() - started) * len(dev) / len(dev[:size])

    return estimate(method, rows, config.train, score_some_dev)


def _resolved(config: RunConfig, prepared: Prepared, task: Task, metric: str, folder: Path) -> RunConfig:
    """The settings with everything that was inferred filled in, so that they alone repeat the run."""
    space = prepared.space
    if isinstance(space, NumberGrid):
        answers = replace(config.space, low=space.low, high=space.high, decimals=space.decimals)
    else:
        answers = replace(config.space, labels=space.labels)
    return replace(
        config,
        task=task,
        out=str(folder),
        data=replace(config.data, text=None, template=prepared.schema.template, target=prepared.schema.target),
        director=replace(config.director, kind=director_kind(config, task)),
        space=answers,
        train=replace(config.train, metric=metric),
    )


def _encode(encoder: PromptEncoder, examples: Examples, name: str, long: LongText, say: Say) -> EncodedRows:
    encoded = encoder.rows(examples.bodies)
    cut = [tokens for tokens in encoded.cut if tokens]
    if cut:
        say(
            f"{len(cut)} of {len(encoded.cut)} {name} prompts are longer than {encoder.max_tokens} tokens: the {long} "
            f"of their texts is kept, at most {max(cut)} tokens are cut, and the answer cue stays. (prompt.max_tokens, "
            "prompt.long)"
        )
    if len(encoded.prompts) > len(encoded.cut):
        say(
            f"{len(encoded.cut)} {name} rows are read in {len(encoded.prompts)} windows of {encoder.max_tokens} tokens."
        )
    return encoded


def _training_rows(config: RunConfig, prepared: Prepared, encoded: EncodedRows) -> list[TrainingRow]:
    """One for each prompt; the windows of a long text share its weight."""
    space, targets = prepared.space, prepared.train.targets
    weights = row_weights(config.train.class_weights, space, targets, prepared.train.weights)
    windows = Counter(encoded.rows)
    scale = len(encoded.prompts) / len(targets)  # the mean over prompts stays 1
    rows = []
    for number, (ids, row) in enumerate(zip(encoded.prompts, encoded.rows, strict=True)):
        answer = space.index(targets[row])
        value = float(targets[row]) if isinstance(space, NumberGrid) else float(answer)
        rows.append(TrainingRow(ids, answer, value, number, weights[row] / windows[row] * scale))
    return rows


def _standardisation(space: LabelSet | NumberGrid, targets: Targets) -> tuple[float, float]:
    if isinstance(space, LabelSet):
        return 0.0, 1.0
    numbers = np.array(targets, dtype=float)
    # A constant sample of a target that does vary: any positive spread will do.
    return float(numbers.mean()), float(numbers.std()) or 1.0


def _baseline(space: LabelSet | NumberGrid, targets: Targets) -> dict[str, Any]:
    if isinstance(space, LabelSet):
        counts = Counter(str(target) for target in targets)
        return {"shares": {label: counts[label] / len(targets) for label in space.labels}}
    numbers = np.array(targets, dtype=float)
    return {"mean": float(numbers.mean()), "median": float(np.median(numbers))}


def _total_steps(config: RunConfig, rows: int) -> int:
    if config.train.max_steps is not None:
        return config.train.max_steps
    batches = math.ceil(rows / config.train.batch_size)
    return max(1, math.ceil(config.train.epochs * math.ceil(batches / config.train.accumulate)))


def _radius(prepared: Prepared, best: DevResult, reader: str | None) -> float:
    """From the dev residuals of the default decision; 0 for classes, which have no interval."""
    if isinstance(prepared.space, LabelSet):
        return 0.0
    decided = number_decisions(best.scores, prepared.space, reader)[best.decision]
    return residual_radius(np.array(prepared.dev.targets, dtype=float), decided.values)


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
