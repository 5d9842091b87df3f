"""What was trained → the run: its record, its parts, ready to predict and to be saved."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal

from torch import nn

from predgen import __version__
from predgen.answers.build import Table
from predgen.answers.free_table import FreeTable
from predgen.model.record import RecordMethod
from predgen.model.scale import Scale
from predgen.record_run import RecordRun
from predgen.run import Run
from predgen.training.bench import Bench
from predgen.training.examiner import Verdict
from predgen.training.plan import Plan
from predgen.training.prepare import Prepared
from predgen.training.probe import probe_sha256
from predgen.training.record_folder import FieldRecord, SharedRecord
from predgen.training.run_folder import RunRecord


@dataclass(frozen=True)
class Trained:
    """All that training leaves.

    Args:
        plan: What was to be done.
        bench: What the method was trained with.
        method: With the best checkpoint's weights.
        scales: Each answer's, of the training targets.
        verdict: The dev rows'.
        best_step: The optimizer step of the best checkpoint.
        total_steps: Of the run.
    """

    plan: Plan
    bench: Bench
    method: nn.Module
    scales: tuple[Scale, ...]
    verdict: Verdict
    best_step: int
    total_steps: int


def finished_run(trained: Trained) -> Run | RecordRun:
    """The run, of one answer or of several."""
    return _single(trained) if trained.plan.prepared.schema.kind == "single" else _several(trained)


def _single(trained: Trained) -> Run:
    field, judged = trained.plan.prepared.schema.fields[0], trained.verdict.fields[0]
    record = RunRecord(
        task=field.task,
        template=trained.plan.prepared.schema.template,
        target=field.column,
        max_tokens=trained.bench.encoder.max_tokens,
        space=trained.bench.spaces[0].to_json(),
        base=_base(trained),
        decision=judged.result.decision,
        metric=trained.plan.metric,
        dev_value=judged.result.value,
        best_step=trained.best_step,
        mean=trained.scales[0].mean,
        spread=trained.scales[0].spread,
        calibration=asdict(judged.calibration),
        baseline=dict(trained.plan.baselines[0]),
        data=_data_record(trained.plan.prepared),
        total_steps=trained.total_steps,
        versions=_versions(),
        config=trained.plan.config.to_dict(),
        scoring=trained.bench.scoring,
        answers=_how_found(trained.bench.tables[0]),
    )
    return _run(trained, 0, record, trained.method.eval())


def _several(trained: Trained) -> RecordRun:
    schema, verdict = trained.plan.prepared.schema, trained.verdict
    assert schema.kind != "single"
    fields = tuple(
        FieldRecord(
            name=field.name,
            column=field.column,
            task=field.task,
            label=field.label,
            separator=field.separator,
            space=space.to_json(),
            # Of several labels all are decided alike.
            decision=verdict.result.decision if schema.kind == "multilabel" else judged.result.decision,
            metric=judged.result.metric,
            dev_value=judged.result.value,
            mean=scale.mean,
            spread=scale.spread,
            calibration=asdict(judged.calibration),
            baseline=dict(baseline),
        )
        for field, space, judged, scale, baseline in zip(
            schema.fields, trained.bench.spaces, verdict.fields, trained.scales, trained.plan.baselines, strict=True
        )
    )
    record = SharedRecord(
        kind=schema.kind,
        template=schema.template,
        max_tokens=trained.bench.encoder.max_tokens,
        base=_base(trained),
        metric=trained.plan.metric,
        dev_value=verdict.result.value,
        best_step=trained.best_step,
        data=_data_record(trained.plan.prepared),
        total_steps=trained.total_steps,
        versions=_versions(),
        config=trained.plan.config.to_dict(),
        scoring=trained.bench.scoring,
        fields=fields,
    )
    method = trained.method.eval()
    assert isinstance(method, RecordMethod)
    runs = {
        field.name: _run(trained, place, record.of_field(field), method.fields[place])
        for place, field in enumerate(fields)
    }
    return RecordRun(record, method, runs)


def _how_found(table: Table) -> Literal["exact", "beam", "free"]:
    if isinstance(table, FreeTable):
        return "free"
    return "exact" if table.exact else "beam"


def _run(trained: Trained, place: int, record: RunRecord, method: nn.Module) -> Run:
    judged = trained.verdict.fields[place]
    return Run(
        record=record,
        method=method,
        space=trained.bench.spaces[place],
        encoder=trained.bench.encoder,
        tokenizer=trained.bench.base.tokenizer,
        calibration=judged.calibration,
        conformal=judged.conformal,
        batch_size=trained.plan.config.train.eval_batch_size,
    )


def _base(trained: Trained) -> dict[str, Any]:
    base = trained.bench.base
    return {
        "name": base.name,
        "revision": trained.plan.config.model.revision,
        "sha256": base.sha256,
        "licence": base.licence,
        "probe": probe_sha256(trained.plan.folder),
    }


def _data_record(prepared: Prepared) -> dict[str, Any]:
    parts = {"train": prepared.train, "dev": prepared.dev, "test": prepared.test}
    return {
        name: {"source": part.source, "fingerprint": part.fingerprint, "rows": len(part)}
        for name, part in parts.items()
    }


def _versions() -> dict[str, str]:
    return {"predgen": __version__, **{name: version(name) for name in ("torch", "transformers", "peft", "tokenizers")}}
