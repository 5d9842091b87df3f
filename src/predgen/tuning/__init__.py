"""`predgen tune`: a search over settings by Optuna, pruned on the dev metric, that can be stopped and gone on with."""

from __future__ import annotations
