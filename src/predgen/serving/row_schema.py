"""Rows as a type: a run's columns, and what may stand in one."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, create_model
from pydantic_core import PydanticCustomError

from predgen.serving.served_run import ServedRun
from predgen.serving.settings import Limits

MOST_ITEMS = 100  # of a list in one column
LARGEST = 1e15  # beyond it neighbouring numbers cannot be told apart


def row_model(served: ServedRun, limits: Limits, title: str) -> type[BaseModel]:
    """The type of a run's rows.

    Args:
        served: Its columns are read.
        limits: characters is read.
        title: What the type's name begins with.
    """
    value = _value_type(limits.characters)
    # Columns may be called what no attribute can be.
    fields: dict[str, Any] = {
        f"column_{place}": (value, Field(alias=name, title=name)) for place, name in enumerate(served.columns)
    }
    return create_model(
        f"{title}Row",
        __config__=ConfigDict(json_schema_extra={"examples": [dict(served.example)]}),
        __doc__="A row; columns that the run does not read are passed over.",
        **fields,
    )


def _value_type(characters: int) -> Any:
    """A text; or what `predgen predict` would read as one: a number, null, or a list of texts."""

    def check(value: Any) -> Any:
        texts = value if isinstance(value, list) else [value]
        if len(texts) > MOST_ITEMS:
            raise PydanticCustomError(
                "too_many_items", "A list of {count} texts was found, and {most} are read.",
                {"count": len(texts), "most": MOST_ITEMS},
            )  # fmt: skip
        for text in texts:
            _check_text(text, characters, isinstance(value, list))
        return value

    text = {"type": "string", "maxLength": characters}
    shapes = [text, {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}, {"type": "null"}]
    schema = {"anyOf": [*shapes, {"type": "array", "items": text, "maxItems": MOST_ITEMS}]}
    return Annotated[Any, BeforeValidator(check), WithJsonSchema(schema)]


def _check_text(text: Any, characters: int, listed: bool) -> None:
    if isinstance(text, str):
        if len(text) > characters:
            raise PydanticCustomError(
                "text_too_long", "A text of {count} characters was found, and up to {most} are read.",
                {"count": len(text), "most": characters},
            )  # fmt: skip
        try:
            text.encode()
        except UnicodeEncodeError:
            raise PydanticCustomError(
                "broken_text", "Half of a surrogate pair was found, which is no character."
            ) from None
        return
    number = isinstance(text, int | float) and not isinstance(text, bool)
    if number and not listed and abs(text) <= LARGEST:  # false of NaN and infinity too
        return
    if number and not listed:
        raise PydanticCustomError("number_too_large", "A number beyond {most} was found.", {"most": f"±{LARGEST:g}"})
    if text is None and not listed:
        return
    raise PydanticCustomError(
        "not_a_text", "A value of the type {found} was found. Expected a text, a number, null or a list of texts.",
        {"found": type(text).__name__},
    )  # fmt: skip
