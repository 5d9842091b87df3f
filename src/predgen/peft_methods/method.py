"""What a PEFT method is to the rest of predgen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predgen.config import PeftConfig

if TYPE_CHECKING:
    from torch import Tensor


def _nothing_after_a_step(lm: Any, step: int) -> None:
    """Most methods leave the optimizer's work as it is."""


def _no_penalty(lm: Any) -> None:
    """Most methods add nothing to the loss."""
    return None


def _no_state(lm: Any) -> dict[str, Tensor]:
    """Most methods have no state besides their parameters."""
    return {}


def _nothing_to_restore(lm: Any, state: Mapping[str, Tensor]) -> None:
    """As `_no_state`."""


@dataclass(frozen=True)
class PeftMethod:
    """A way to adapt the writer. `lm` is what `build` or `load` returned.

    Args:
        name: As in `peft.method`.
        summary: Its formula and paper, in one line.
        build: Base model, settings, optimizer steps of the run → the adapted model. The base is changed in place.
        save: Adapted model, folder, name of the base → its files in the run folder.
        load: Base model, run folder → the adapted model.
        whole: Whether the run folder holds a whole model, so that no base is needed besides.
        penalty: A term added to the loss once an optimizer step, or None.
        after_step: Called between the optimizer's step and the clearing of gradients, with the number of steps taken.
        state: What a checkpoint must hold besides the parameters that learn.
        restore: Puts that back.
    """

    name: str
    summary: str
    build: Callable[[Any, PeftConfig, int], Any]
    save: Callable[[Any, Path, str], None]
    load: Callable[[Any, Path], Any]
    whole: bool = False
    penalty: Callable[[Any], Tensor | None] = _no_penalty
    after_step: Callable[[Any, int], None] = _nothing_after_a_step
    state: Callable[[Any], dict[str, Tensor]] = _no_state
    restore: Callable[[Any, Mapping[str, Tensor]], None] = _nothing_to_restore
