"""From a prompt to a distribution over the answers, and from a distribution to a decision."""

from __future__ import annotations
