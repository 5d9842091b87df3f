"""The paper's experiments: its printed cells, the grid that repeats them, and tables of both side by side."""

from __future__ import annotations
