"""One run from settings to run folder, in the order in which things happen."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from transformers import set_seed
from transformers.utils import logging as transformers_logging

from predgen import __version__
from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config import RunConfig, Task
from predgen.data.batches import TrainingRow
from predgen.data.prompts import PromptEncoder
from predgen.decoding.check import check_branching
from predgen.decoding.decide import number_decisions, residual_radius
from predgen.evaluation import Targets, decision_metrics
from predgen.metrics import check_metric, default_metric
from predgen.model.bases import load_base
from predgen.model.build import Setting, build_method, check_director, check_names, director_kind
from predgen.model.outputs import Scores
from predgen.model.writer import Writer, context_length
from predgen.peft_methods import peft_method
from predgen.prediction import score_prompts
from predgen.run import Run
from predgen.training.card import write_card
from predgen.training.prepare import Examples, Prepared, Say, prepare
from predgen.training.progress import MetricsLog, ProgressBar
from predgen.training.results import draw_figures, write_splits
from predgen.training.run_folder import CHECKPOINTS, CONFIG, LOG, METRICS, RECORD, RunRecord, claim, write_json
from predgen.training.trainer import DevResult, PredGenTrainer, save_director


@dataclass(frozen=True)
class Fitted:
    """What `fit` returns.

    Args:
        run: Ready to predict.
        folder: Where it was saved.
        metrics: What metrics.json holds: "dev" and, if there were test rows, "test".
        reported: Scores and targets of the test rows, if there were any.
    """

    run: Run
    folder: Path
    metrics: dict[str, Any]
    reported: tuple[Scores, Targets] | None


def fit(config: RunConfig, overwrite: bool = False, say: Say = print, trust_remote_code: bool = False) -> Fitted:
    """Trains a method and writes its run folder.

    Args:
        config: All settings.
        overwrite: Whether a run that is in the output folder may be replaced.
        say: Takes one line at a time: what was decided, and why.
        trust_remote_code: Whether code that comes with the base model may run.

    Raises:
        PredgenError: If settings, data, model or output folder cannot be used; nothing that was there is lost.
    """
    check_names(config)
    adapt = peft_method(config.peft.method).build
    prepared = prepare(config, say)
    task = prepared.schema.task
    metric = config.train.metric or default_metric(task)
    check_metric(metric, task)
    check_director(config, task)
    folder = Path(config.out or f"runs/{Path(config.data.source or '').stem}-{config.method}")
    config = _resolved(config, prepared, task, metric, folder)

    set_seed(config.train.seed)
    base = load_base(config.model.name, config.model.revision, trust_remote_code, say)
    trie = build_trie(prepared.space, base.tokenizer, config.prompt.cue)
    table = AnswerTable(trie)
    context = context_length(base.model) - table.depth - 1
    encoder = PromptEncoder(base.tokenizer, config.prompt.cue, min(config.prompt.max_tokens or context, context))
    prompts = {
        name: _encode(encoder, examples, name, say)
        for name, examples in (("training", prepared.train), ("dev", prepared.dev), ("test", prepared.test))
    }
    check_branching(Writer(base.model), table, prompts["training"][:2])

    mean, spread = _standardisation(prepared.space, prepared.train.targets)
    total_steps = _total_steps(config, len(prepared.train))
    setting = Setting(config, task, prepared.space, total_steps, mean, spread)
    method = build_method(Writer(adapt(base.model, config.peft)), table, setting)

    claim(folder, overwrite)
    (folder / CONFIG).write_text(config.to_yaml(), encoding="utf-8")
    write_splits(folder, prepared)
    trained = sum(parameter.numel() for parameter in method.parameters() if parameter.requires_grad)
    say(f"Training {config.method} on {base.name}: {trained:,} parameters learn, {total_steps} steps, by {metric}.")

    reader: str | None = method.reader_name  # type: ignore[assignment]

    def evaluate_dev() -> DevResult:
        scores = score_prompts(method, prompts["dev"], config.train.eval_batch_size)
        return DevResult(decision_metrics(scores, prepared.space, reader, prepared.dev.targets), metric, scores)

    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    trainer = PredGenTrainer(
        method=method,
        rows=_training_rows(prepared, prompts["training"]),
        evaluate_dev=evaluate_dev,
        config=config.train,
        total_steps=total_steps,
        folder=folder,
        metric=metric,
        callbacks=[MetricsLog(folder / LOG), ProgressBar()],
    )
    trainer.train()
    best_step = int(trainer.state.best_global_step or max(trainer.dev_results))
    best = trainer.dev_results[best_step]
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)

    record = RunRecord(
        task=task,
        template=prepared.schema.template,
        target=prepared.schema.target,
        max_tokens=encoder.max_tokens,
        space=prepared.space.to_json(),
        base={"name": base.name, "revision": config.model.revision, "sha256": base.sha256, "licence": base.licence},
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
    )
    run = Run(record, method.eval(), prepared.space, encoder, base.tokenizer, config.train.eval_batch_size)
    _save(run, folder)
    metrics = {"dev": best.record(best_step)}
    reported = (run.score(prepared.test.bodies), prepared.test.targets) if len(prepared.test) else None
    if reported is not None:
        metrics["test"] = run.evaluate_scores(prepared.test.bodies, *reported).to_json()
    draw_figures(folder, run, reported)
    write_json(folder / METRICS, metrics)
    write_card(folder, run.record, metrics)
    write_json(folder / RECORD, run.record.__dict__)  # last: a folder with this file is a finished run
    return Fitted(run, folder, metrics, reported)


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


def _encode(encoder: PromptEncoder, examples: Examples, name: str, say: Say) -> list[list[int]]:
    encoded = [encoder(body) for body in examples.bodies]
    cut = [prompt.cut for prompt in encoded if prompt.cut]
    if cut:
        say(
            f"{len(cut)} of {len(encoded)} {name} prompts are longer than {encoder.max_tokens} tokens: the ends of "
            f"their texts were cut, {max(cut)} tokens at most; the answer cue is kept. (prompt.max_tokens)"
        )
    return [prompt.ids for prompt in encoded]


def _training_rows(prepared: Prepared, prompts: Sequence[list[int]]) -> list[TrainingRow]:
    space = prepared.space
    rows = []
    for number, (ids, target) in enumerate(zip(prompts, prepared.train.targets, strict=True)):
        answer = space.index(target)
        value = float(target) if isinstance(space, NumberGrid) else float(answer)  # type: ignore[arg-type]
        rows.append(TrainingRow(ids, answer, value, number))
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


def _save(run: Run, folder: Path) -> None:
    lm: Any = run.method.writer.lm  # type: ignore[union-attr]
    for peft_config in lm.peft_config.values():
        # peft would write where the base lay on this machine; its name says what it is anywhere.
        peft_config.base_model_name_or_path = run.record.config["model"]["name"]
    # Embeddings never learn here; asked for by default, they would be looked for under the base's name on the hub.
    lm.save_pretrained(str(folder), save_embedding_layers=False)
    save_director(run.method, folder)
    run.tokenizer.save_pretrained(folder)
