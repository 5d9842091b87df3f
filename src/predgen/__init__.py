"""predgen: labels and numbers from text, by generating them."""

from __future__ import annotations

__version__ = "0.1.0"
