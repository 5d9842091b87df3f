"""What the service says of its runs: ``/v1/runs``, which the page is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from predgen.answers.spaces import LabelSet, Space
from predgen.serving.served_run import ServedRun
from predgen.serving.settings import Settings


class Range(BaseModel):
    """The numbers that a run can answer."""

    low: float
    high: float
    step: float | None = Field(description="Between neighbours; null where they are not evenly spaced.")
    decimals: int | None


Kind = Literal["labels", "ordered", "numbers", "record", "multilabel"]


class FieldCard(BaseModel):
    """What a run answers in one field of a record."""

    task: Kind
    labels: list[str] | None
    range: Range | None


class RunCard(BaseModel):
    """What a run reads and answers."""

    name: str
    version: str
    model: str
    method: str
    task: Kind
    columns: list[str]
    labels: list[str] | None
    range: Range | None
    targets: list[str]
    fields: dict[str, FieldCard] = Field(description="Of a record, by target; else empty.")
    examples: list[dict[str, Any]]
    explain: bool


class LimitsCard(BaseModel):
    """The most that a request may hold."""

    rows: int
    characters: int
    body_bytes: int


class Catalogue(BaseModel):
    """What the service offers."""

    runs: list[RunCard]
    limits: LimitsCard
    key_required: bool


def catalogue_of(runs: Sequence[ServedRun], settings: Settings) -> dict[str, Any]:
    """The whole reply."""
    limits = {name: getattr(settings.limits, name) for name in LimitsCard.model_fields}
    return {"runs": [card_of(run) for run in runs], "limits": limits, "key_required": bool(settings.keys)}


def card_of(served: ServedRun) -> dict[str, Any]:
    """What ``/v1/runs`` says of a run."""
    run = served.run
    fields: dict[str, Any] = {}
    if served.first is run:
        answers = _answers_card(served.first.space)
    else:
        kind = str(run.record.kind)  # type: ignore[attr-defined]
        labels = list(run.parts) if kind == "multilabel" else None
        answers = {"task": kind, "labels": labels, "range": None}
        if kind == "record":
            fields = {name: _answers_card(part.space) for name, part in run.parts.items()}
    return {
        "name": served.name,
        "version": served.version,
        "model": served.model,
        "method": run.method_name,
        **answers,
        "columns": list(served.columns),
        "targets": list(run.parts),
        "fields": fields,
        "examples": [dict(served.example)],
        "explain": served.explains,
    }


def _answers_card(space: Space) -> dict[str, Any]:
    if isinstance(space, LabelSet):
        return {"task": "ordered" if space.ordered else "labels", "labels": list(space.labels), "range": None}
    step, decimals = getattr(space, "step", None), getattr(space, "decimals", None)
    numbers = {"low": space.low, "high": space.high, "step": step, "decimals": decimals}
    return {"task": "numbers", "labels": None, "range": numbers}
