"""Makes predgen's own methods known to peft, whose list of types is closed to others.

peft 0.21 has no public way in: its registering function takes only names of its own enum. So its tables are written to
here, and nowhere else, under types of our own. With them `get_peft_model`, `PeftModel.from_pretrained` and all that
peft's models do work as for its own methods. Where predgen was not imported, loading ends in a `KeyError` that names
the type, and never in another method's layers.
"""

from __future__ import annotations

import enum
from importlib.metadata import version

from packaging.version import Version
from peft.mapping import (
    # Their keys are declared to be peft's own types; ours are strings as well, and are found by them.
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PEFT_TYPE_TO_PREFIX_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
)

from predgen.errors import ConfigError

# The tables, LoRA's variants and the tuners' methods that are overridden are private: other versions must be tried.
_FIRST, _NEXT = Version("0.21"), Version("0.22")


class PredgenPeftType(enum.StrEnum):
    """What ``peft_type`` says in an adapter_config.json that needs ``import predgen.peft_methods``."""

    ROCOFT = "ROCOFT"
    MELORA = "MELORA"
    MOSLORA = "MOSLORA"
    PROPULSION = "PROPULSION"


def register(kind: PredgenPeftType, config: type, tuner: type, prefix: str) -> None:
    """Enters a method into peft's tables.

    Args:
        kind: Its type.
        config: Its settings, a dataclass derived from peft's.
        tuner: What puts its layers into a base.
        prefix: What its parameters' names begin with.
    """
    PEFT_TYPE_TO_CONFIG_MAPPING[kind] = config  # type: ignore[index]
    PEFT_TYPE_TO_TUNER_MAPPING[kind] = tuner  # type: ignore[index]
    PEFT_TYPE_TO_PREFIX_MAPPING[kind] = prefix  # type: ignore[index]


def check_version(found: str) -> None:
    """Refuses a peft whose private parts were not tried.

    Raises:
        ConfigError: If it is another than 0.21.
    """
    if not _FIRST <= Version(found) < _NEXT:
        raise ConfigError(
            f"peft {found} is installed, and predgen's own methods use parts of peft that are private.",
            f"They were written for peft ≥ {_FIRST}, < {_NEXT}.",
            "Install that version.",
        )


check_version(version("peft"))
