"""What a PEFT method is to the rest of predgen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from predgen.config import PeftConfig

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class PeftMethod:
    """A way to adapt the writer.

    Args:
        name: As in `peft.method`.
        summary: Its formula and paper, in one line.
        build: Base model, settings → the adapted model. The base is changed in place.
    """

    name: str
    summary: str
    build: Callable[[PreTrainedModel, PeftConfig], PeftModel]
