"""How much representations know of a target, and which words decided an answer."""

from __future__ import annotations
