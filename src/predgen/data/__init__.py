"""Rows in: sources, schema, splits, prompts, batches."""

from __future__ import annotations
