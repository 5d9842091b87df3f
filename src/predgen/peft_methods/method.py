"""What a PEFT method is to the rest of predgen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predgen.config import PeftConfig, TrainConfig

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer


def _nothing_to_check(config: PeftConfig) -> None:
    """Most methods go with every setting, on every machine."""


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


def _no_virtual_tokens(config: PeftConfig) -> int:
    """Most methods leave the prompt as it is."""
    return 0


def _merge(lm: Any) -> Any:
    """As peft merges: the base's own weights changed, and no adapter left."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    base = lm.get_base_model()
    ends = base.get_input_embeddings(), base.get_output_embeddings()
    if any(isinstance(end, BaseTunerLayer) for end in ends):
        untie(base)
    return lm.merge_and_unload(safe_merge=True)


def untie(base: Any) -> None:
    """Gives the output a weight of its own where it is the input's, before one of the two is changed.

    Args:
        base: A causal LM, changed in place; either end may be adapted.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch import nn

    first: Any
    last: Any
    ends = base.get_input_embeddings(), base.get_output_embeddings()
    first, last = (end.get_base_layer() if isinstance(end, BaseTunerLayer) else end for end in ends)
    if last is not None and first.weight is last.weight:
        last.weight = nn.Parameter(last.weight.detach().clone(), requires_grad=False)
        base.config.get_text_config().tie_word_embeddings = base.config.tie_word_embeddings = False


@dataclass(frozen=True)
class PeftMethod:
    """A way to adapt the writer. `lm` is what `build` or `load` returned.

    Args:
        name: As in `peft.method`.
        formula: What stands in the place of W x.
        paper: Authors and year.
        library: The class of peft that its adapter is read by; one of ours needs ``import predgen.peft_methods``.
        build: Base model, settings, optimizer steps of the run → the adapted model. The base is changed in place.
        save: Adapted model, folder, name of the base → its files in the run folder.
        load: Base model, run folder → the adapted model.
        whole: Whether the run folder holds a whole model, so that no base is needed besides.
        quantised: Whether the base is held in four bits.
        check: Refuses settings and machines that it does not go with, before anything is read.
        optimizer: Method, settings of training → an optimizer over everything that learns; None: AdamW.
        penalty: A term added to the loss once an optimizer step, or None.
        after_step: Called between the optimizer's step and the clearing of gradients, with the number of steps taken.
        state: What a checkpoint must hold besides the parameters that learn.
        restore: Puts that back.
        virtual_tokens: How many columns it puts in front of every prompt.
        merge: Adapted model → a plain one that answers the same; None where there is none.
        goes_on: Whether a finished run can be trained further (`fit --from`).
    """

    name: str
    formula: str
    paper: str
    library: str
    build: Callable[[Any, PeftConfig, int], Any]
    save: Callable[[Any, Path, str], None]
    load: Callable[[Any, Path], Any]
    whole: bool = False
    quantised: bool = False
    check: Callable[[PeftConfig], None] = _nothing_to_check
    optimizer: Callable[[nn.Module, TrainConfig], Optimizer] | None = None
    penalty: Callable[[Any], Tensor | None] = _no_penalty
    after_step: Callable[[Any, int], None] = _nothing_after_a_step
    state: Callable[[Any], dict[str, Tensor]] = _no_state
    restore: Callable[[Any, Mapping[str, Tensor]], None] = _nothing_to_restore
    virtual_tokens: Callable[[PeftConfig], int] = _no_virtual_tokens
    merge: Callable[[Any], Any] | None = _merge
    goes_on: bool = True
