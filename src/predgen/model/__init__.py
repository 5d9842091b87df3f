"""The writer, its history, the director and their losses; `predgen.py` is the sequence, the rest are its parts."""

from __future__ import annotations
