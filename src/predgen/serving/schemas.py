"""Requests and replies as types, built from each run's columns and answers; validation and OpenAPI both follow them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, create_model
from pydantic import model_validator as validates
from pydantic_core import PydanticCustomError

from predgen.answers.spaces import LabelSet
from predgen.serving.row_schema import row_model
from predgen.serving.served_run import ServedRun
from predgen.serving.settings import Limits

MOST_NAMED = 100  # labels up to which a schema lists them


class Failure(BaseModel):
    """What went wrong."""

    code: str = Field(description="For programs: one word for each kind of failure.")
    message: str = Field(description="For people: what was found, what was expected, what to do.")
    row: int | None = Field(None, description="The row that it lies in, from 0.")
    field: str | None = Field(None, description="The column, or the part of the request.")


class Failed(BaseModel):
    """Every reply that is no success."""

    error: Failure


class Reply(BaseModel):
    """What every reply of a model says of itself."""

    run: str = Field(description="The run that answered.")
    version: str = Field(description="Of its settings and weights.")
    model: str = Field(description="Its base model.")
    seconds: float = Field(description="From the request's arrival to this reply.")


class Piece(BaseModel):
    """A word, or several that were left out together."""

    column: str | None = Field(description="The column that it stands in; null of the template's own words.")
    text: str
    score: float = Field(description="What the answer gains by it, in the unit of `score`.")


class Score(BaseModel):
    """What the pieces' numbers are."""

    name: str = Field(description="Of what: a label, the expected value, the divergence of the distributions.")
    unit: str
    signed: bool = Field(description="Whether a piece can speak against the answer.")
    scale: float = Field(description="The size that deserves full colour.")


class Health(BaseModel):
    """Whether the service is well."""

    status: Literal["ok", "ready"]


@dataclass(frozen=True)
class RunSchemas:
    """The types of one run.

    Args:
        predict: Of a request for predictions.
        explain: Of a request for an explanation; None where the run's answers cannot be explained.
        predicted: Of the reply to the first.
        explained: Of the reply to the second.
    """

    predict: type[BaseModel]
    explain: type[BaseModel] | None
    predicted: type[BaseModel]
    explained: type[BaseModel] | None


class _Rows(BaseModel):
    """Exactly one of `rows` and `row`."""

    @validates(mode="after")
    def _one_of_them(self) -> Self:
        if ("rows" in self.model_fields_set) == ("row" in self.model_fields_set):
            raise PydanticCustomError("rows_or_row", "A request holds either rows, a list, or row, a single one.")
        return self


def schemas_of(served: ServedRun, limits: Limits, alone: bool) -> RunSchemas:
    """Builds the types of a run.

    Args:
        served: The run.
        limits: What a request may hold.
        alone: Whether it is the only run, so that requests need not name it.
    """
    title = "".join(part.capitalize() for part in served.name.replace("-", "_").split("_")) or "Run"
    row = row_model(served, limits, title)
    named: Any = (Literal[served.name], served.name if alone else ...)
    example = dict(served.example)
    first = {} if alone else {"run": served.name}
    predict = create_model(
        f"{title}Predict",
        __base__=_Rows,
        __cls_kwargs__=_closed({**first, "rows": [example]}, [{"required": ["rows"]}, {"required": ["row"]}]),
        run=named,
        rows=(list[row], Field(default=None, min_length=1, max_length=limits.rows, description="The rows.")),  # type: ignore[valid-type]
        row=(row, Field(default=None, description="In the place of `rows`: a single one.")),
        distribution=(StrictBool, Field(False, description="Numbers: give their whole distribution too.")),
    )
    prediction = _prediction_model(served, title)
    predicted = create_model(
        f"{title}Predicted",
        __base__=Reply,
        __cls_kwargs__={"json_schema_extra": _reply_example(served)},
        predictions=(list[prediction], ...),  # type: ignore[valid-type]
    )
    if not served.explains:
        return RunSchemas(predict, None, predicted, None)
    fields: dict[str, Any] = {"run": named, "row": (row, ...)}
    parts = tuple(served.run.parts)
    if len(parts) > 1:
        fields["field"] = (Literal[parts], Field(parts[0], description="The answer to explain."))
    closed = _closed({**first, "row": example}, None)
    explain: type[BaseModel] = create_model(f"{title}Explain", __cls_kwargs__=closed, **fields)
    explained = create_model(
        f"{title}Explained",
        __base__=Reply,
        prediction=(prediction, ...),
        pieces=(list[Piece], ...),
        score=(Score, ...),
        answer=(str, Field(description="What the explained distribution says, in words.")),
        notes=(list[str], Field(description="What the map leaves out, and why.")),
    )
    return RunSchemas(predict, explain, predicted, explained)


def union_of(models: Sequence[type[BaseModel]]) -> Any:
    """One type for the requests of all runs."""
    joined: Any = models[0]
    for model in models[1:]:
        joined = joined | model
    return joined


def _closed(example: Mapping[str, Any], one_of: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Settings of a model that refuses what it does not know: a misspelt name must not pass silently."""
    extra: dict[str, Any] = {"examples": [example]}
    if one_of is not None:
        extra["oneOf"] = one_of
    return {"extra": "forbid", "json_schema_extra": lambda schema: _finish(schema, extra)}


def _finish(schema: dict[str, Any], extra: Mapping[str, Any]) -> None:
    schema.update(extra)
    for name in ("rows", "row"):
        schema["properties"].get(name, {}).pop("default", None)  # left out, not null


def _reply_example(served: ServedRun) -> dict[str, Any]:
    if served.answer is None:
        return {}
    about = {"run": served.name, "version": served.version, "model": served.model, "seconds": 0.03}
    return {"examples": [{**about, "predictions": [dict(served.answer)]}]}


def _prediction_model(served: ServedRun, title: str) -> type[BaseModel]:
    parts = served.run.parts
    if served.first is served.run:
        return _answer_model(served.first.space, f"{title}Prediction")
    if served.run.record.kind == "multilabel":  # type: ignore[attr-defined]
        names = _names(tuple(parts))
        return create_model(
            f"{title}Prediction",
            prediction=(list[names], Field(description="The labels that the row has.")),  # type: ignore[valid-type]
            probabilities=(dict[str, float], Field(description="That the row has each label; no sum is meant.")),
        )
    decided: dict[str, Any] = {}
    besides: dict[str, Any] = {}
    for place, (name, part) in enumerate(parts.items()):
        whole = _answer_model(part.space, f"{title}Field{place}", with_prediction=False)
        decided[f"field_{place}"] = (_value_of(part.space), Field(alias=name, title=name))
        besides[f"field_{place}"] = (whole, Field(alias=name, title=name))
    prediction = create_model(f"{title}Record", **decided)
    fields = create_model(f"{title}Fields", **besides)
    return create_model(f"{title}Prediction", prediction=(prediction, ...), fields=(fields, ...))


def _value_of(space: Any) -> Any:
    return _names(space.labels) if isinstance(space, LabelSet) else float


def _names(labels: tuple[str, ...]) -> Any:
    return Literal[labels] if len(labels) <= MOST_NAMED else str


class Distribution(BaseModel):
    """Numbers and their probabilities; those below 1e-7 are left out."""

    support: list[float]
    probabilities: list[float]


def _answer_model(space: Any, name: str, with_prediction: bool = True) -> type[BaseModel]:
    fields: dict[str, Any] = {"prediction": (_value_of(space), ...)} if with_prediction else {}
    if isinstance(space, LabelSet):
        fields["probabilities"] = (dict[str, float], Field(description="Of every label; they sum to 1."))
        fields["set"] = (
            list[_names(space.labels)],  # type: ignore[misc]
            Field(description="Labels that together hold a new row's own nine times in ten."),
        )
    else:
        fields["mean"] = (float, Field(description="Of the distribution; without one the prediction."))
        fields["median"] = (float, Field(description="Of the distribution; without one the prediction."))
        fields["interval"] = (
            tuple[float, float],
            Field(description="Around the prediction; holds a new row's number nine times in ten."),
        )
        fields["text"] = (str, Field("", description="What was written, where numbers have no list."))
        fields["distribution"] = (Distribution, Field(None, description="Where it was asked for and there is one."))
    fields["covered"] = (float, Field(1.0, description="Where answers are searched for: the share that was found."))
    return create_model(name, __config__=ConfigDict(json_schema_extra=_optional), **fields)


def _optional(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)  # such a field is left out where it does not apply
