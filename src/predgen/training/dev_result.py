"""What an evaluation on the dev rows found, and what it selects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from predgen.metrics import better
from predgen.model.outputs import Scores


class DevResult:
    """What a dev evaluation found: every metric under every decision, and the best decision by one metric.

    Args:
        decisions: Decision name → metric name → value.
        metric: The metric that selects.
        scores: Of the dev rows, from which the decisions were made.
    """

    def __init__(self, decisions: Mapping[str, Mapping[str, float]], metric: str, scores: Scores) -> None:
        self.scores = scores
        self.decisions, self.metric = {name: dict(values) for name, values in decisions.items()}, metric
        best = next(iter(decisions))
        for name in decisions:
            if better(metric, decisions[name][metric], decisions[best][metric]):
                best = name
        self.decision, self.value = best, decisions[best][metric]

    def flat(self) -> dict[str, float]:
        """``eval_<decision>_<metric>`` → value, as trackers take it; what is undefined is left out."""
        return {
            f"eval_{decision}_{name}": value
            for decision, values in self.decisions.items()
            for name, value in values.items()
            if math.isfinite(value)
        }

    def record(self, step: int) -> dict[str, Any]:
        """A line of metrics.jsonl."""
        return {
            "event": "dev",
            "step": step,
            "metric": self.metric,
            "decision": self.decision,
            "value": self.value,
            "decisions": self.decisions,
        }
