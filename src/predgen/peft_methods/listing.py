"""What `predgen peft` lists: the methods, and how much each learns of a model."""

from __future__ import annotations

from dataclasses import dataclass

from predgen.config import PeftConfig
from predgen.errors import PredgenError
from predgen.model.bases import skeleton
from predgen.peft_methods import METHODS
from predgen.peft_methods.method import PeftMethod

_STEPS = 1000  # of a run that takes a schedule; the number of parameters does not follow it


@dataclass(frozen=True)
class Listed:
    """A method and, where a model was named, how many parameters learn.

    Args:
        method: The method.
        parameters: How many learn; None where no model was named, or it does not go with this one.
        problem: Why it does not.
    """

    method: PeftMethod
    parameters: int | None
    problem: str = ""


def listed(model: str | None, config: PeftConfig, trust_remote_code: bool = False) -> list[Listed]:
    """All methods, counted on the model's layers without their weights.

    Args:
        model: As `load_base` takes it; None counts nothing.
        config: rank, target_modules and the methods' own settings are read.
        trust_remote_code: Whether code that comes with the model may run.

    Raises:
        ModelError: If the model cannot be found.
    """
    if model is None:
        return [Listed(method, None) for method in METHODS.values()]
    return [_counted(method, model, config, trust_remote_code) for method in METHODS.values()]


def _counted(method: PeftMethod, model: str, config: PeftConfig, trust_remote_code: bool) -> Listed:
    import torch

    base = skeleton(model, trust_remote_code=trust_remote_code)
    try:
        with torch.device("meta"):
            adapted = method.build(base, config, _STEPS)
    except PredgenError as problem:
        return Listed(method, None, str(problem))
    return Listed(method, sum(p.numel() for p in adapted.parameters() if p.requires_grad))
