"""PEFT methods by name. Each is one small file; the rest of predgen knows only `PeftMethod`.

Importing this makes predgen's own methods known to the peft library: `PeftModel.from_pretrained` then loads their
adapters as it loads its own.
"""

from __future__ import annotations

from predgen.errors import ConfigError, nearest
from predgen.peft_methods.adalora import ADALORA
from predgen.peft_methods.dora import DORA
from predgen.peft_methods.full import FULL
from predgen.peft_methods.ia3 import IA3
from predgen.peft_methods.lora import LORA
from predgen.peft_methods.lora_fa import LORA_FA, LORA_FA_CORRECTED
from predgen.peft_methods.melora import MELORA
from predgen.peft_methods.method import PeftMethod
from predgen.peft_methods.moslora import MOSLORA
from predgen.peft_methods.pissa import PISSA
from predgen.peft_methods.prompt_tuning import PROMPT_TUNING
from predgen.peft_methods.propulsion import PROPULSION
from predgen.peft_methods.qlora import QLORA
from predgen.peft_methods.rocoft import ROCOFT
from predgen.peft_methods.rslora import RSLORA
from predgen.peft_methods.vera import VERA

__all__ = ["METHODS", "PeftMethod", "peft_method"]

METHODS: dict[str, PeftMethod] = {
    method.name: method
    for method in (
        LORA,
        DORA,
        ADALORA,
        ROCOFT,
        MELORA,
        LORA_FA,
        LORA_FA_CORRECTED,
        MOSLORA,
        PROPULSION,
        RSLORA,
        PISSA,
        VERA,
        IA3,
        PROMPT_TUNING,
        QLORA,
        FULL,
    )
}


def peft_method(name: str) -> PeftMethod:
    """Looks a PEFT method up.

    Raises:
        ConfigError: If there is none of that name; the message lists them.
    """
    if name not in METHODS:
        raise ConfigError(f"Unknown PEFT method {name!r}:", nearest(name, METHODS))
    return METHODS[name]
