"""What an evaluation on the dev rows found, and what it selects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from predgen.metrics import chosen_over
from predgen.model.outputs import Scores


class DevResult:
    """What a dev evaluation found: every metric under every decision, and the best decision by one metric.

    Args:
        decisions: Decision name → metric name → value.
        metric: The metric that selects.
        scores: Of the dev rows, from which the decisions were made; one for each answer that is given to a prompt.
    """

    def __init__(self, decisions: Mapping[str, Mapping[str, float]], metric: str, scores: Sequence[Scores]) -> None:
        self.scores = scores
        self.decisions, self.metric = {name: dict(values) for name, values in decisions.items()}, metric
        best = next(iter(decisions))
        for name, values in decisions.items():
            if chosen_over(metric, values, decisions[best]):
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


class RecordResult(DevResult):
    """The same of a record, whose fields have decisions of their own.

    Args:
        fields: Field → what was found of it.
        metric: The metric that selects.
        value: That metric over all fields.
        scores: Of the dev rows, one a field.
    """

    def __init__(self, fields: Mapping[str, DevResult], metric: str, value: float, scores: Sequence[Scores]) -> None:
        super().__init__({"record": {metric: value}}, metric, scores)
        self.fields = dict(fields)

    def flat(self) -> dict[str, float]:
        """As `DevResult.flat`, each field's under its name."""
        fields = {
            f"eval_{field}_{key.removeprefix('eval_')}": value
            for field, result in self.fields.items()
            for key, value in result.flat().items()
        }
        return {**super().flat(), **fields}

    def record(self, step: int) -> dict[str, Any]:
        """As `DevResult.record`, and each field's decisions."""
        fields = {
            name: {"decision": result.decision, "decisions": result.decisions} for name, result in self.fields.items()
        }
        return {**super().record(step), "fields": fields}
