"""A run, and what was said of it."""

from __future__ import annotations

from predgen.config_reading import load_config
from predgen.training.fit import Fitted, fit


def said_by(settings: list[str]) -> tuple[Fitted, str]:
    lines = list[str]()
    fitted = fit(load_config(assignments=settings), say=lines.append)
    return fitted, "\n".join(lines)
