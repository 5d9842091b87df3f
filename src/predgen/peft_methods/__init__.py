"""PEFT methods by name. Each is one small file; the rest of predgen knows only `PeftMethod`."""

from __future__ import annotations

from predgen.errors import ConfigError, nearest
from predgen.peft_methods.adalora import ADALORA
from predgen.peft_methods.dora import DORA
from predgen.peft_methods.full import FULL
from predgen.peft_methods.lora import LORA
from predgen.peft_methods.method import PeftMethod

__all__ = ["METHODS", "PeftMethod", "peft_method"]

METHODS: dict[str, PeftMethod] = {method.name: method for method in (LORA, DORA, ADALORA, FULL)}


def peft_method(name: str) -> PeftMethod:
    """Looks a PEFT method up.

    Raises:
        ConfigError: If there is none of that name; the message lists them.
    """
    if name not in METHODS:
        raise ConfigError(f"Unknown PEFT method {name!r}:", nearest(name, METHODS))
    return METHODS[name]
