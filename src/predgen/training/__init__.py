"""Fitting: rows in, run folder out."""

from __future__ import annotations
