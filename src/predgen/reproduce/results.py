"""Finished cells → means over seeds, their spread, and which differences are more than noise."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predgen.compare import Difference, paired_difference
from predgen.reproduce.resamples import unpack

Record = Mapping[str, Any]
Floats = NDArray[np.float64]
CHOSEN = "chosen"  # in the place of a decision: the one that each run's dev rows chose
Key = tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """A metric over the seeds of one group of cells.

    Args:
        mean: Over the seeds; NaN where one of them has none.
        spread: Their standard deviation (n − 1); None of a single seed.
        seeds: Which.
    """

    mean: float
    spread: float | None
    seeds: tuple[int, ...]


class Group:
    """Cells that differ by their seed alone.

    Args:
        records: At least one.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = {int(record["cell"]["seed"]): record for record in records}
        self.facts: dict[str, Any] = {name: value for name, value in records[0]["cell"].items() if name != "seed"}

    @property
    def seeds(self) -> tuple[int, ...]:
        """In order."""
        return tuple(sorted(self.records))

    def digests(self) -> set[str]:
        """Of what was asked of its runs, the seed aside: more than one is a mixture."""
        return {str(record["digest"]) for record in self.records.values()}

    def report(self, name: str, seed: int) -> Mapping[str, Any]:
        """One seed's evaluation on a set of rows."""
        report: Mapping[str, Any] = self.records[seed]["reports"][name]
        return report

    def has(self, name: str) -> bool:
        """Whether all its cells were scored on these rows."""
        return all(name in record["reports"] for record in self.records.values())

    def decisions(self, name: str) -> list[str]:
        """That all its cells allow, on these rows."""
        each = [list(self.report(name, seed)["decisions"]) for seed in self.seeds]
        return [decision for decision in each[0] if all(decision in other for other in each)]

    def decision(self, name: str, wanted: str, seed: int) -> str:
        """A decision's name; that of `CHOSEN` may differ from seed to seed."""
        return str(self.report(name, seed)["decision"]) if wanted == CHOSEN else wanted

    def summary(self, name: str, decision: str, metric: str) -> Summary:
        """A metric over the seeds."""
        values = [
            _number(self.report(name, seed)["decisions"][self.decision(name, decision, seed)].get(metric))
            for seed in self.seeds
        ]
        spread = statistics.stdev(values) if len(values) > 1 and not any(map(math.isnan, values)) else None
        return Summary(statistics.fmean(values), spread, self.seeds)

    def resampled(self, name: str, decision: str, metric: str, seeds: Sequence[int]) -> Floats | None:
        """The metric's mean over seeds, rows and seeds drawn anew for each resample; (B,).

        Which seeds a resample draws follows from what was trained on and `seeds` alone: of two groups with the same
        seeds the very same are drawn, so that they stay paired; and of one run that is scored on several sets of rows,
        so that a lucky seed does not even out over them.

        Args:
            name: Of the rows.
            decision: `CHOSEN`, or a decision's name.
            metric: One of those that are resampled, or rmse.
            seeds: Among the group's.

        Returns:
            None where a cell kept no resamples of this metric.
        """
        each = []
        for seed in seeds:
            packed = self.records[seed]["resamples"]["values"].get(name)
            own = self.decision(name, decision, seed)
            stored = "mse" if metric == "rmse" else metric
            if packed is None or stored not in packed.get(own, {}):
                return None
            full = self.report(name, seed)["decisions"]
            values_of_seed = unpack({own: packed[own]}, full)[own][stored]
            each.append(np.sqrt(np.maximum(values_of_seed, 0.0)) if metric == "rmse" else values_of_seed)
        values = np.stack(each)  # (S, B)
        count = min(len(one) for one in each)
        digest = hashlib.sha256(f"{self.facts['task']} {sorted(seeds)}".encode()).digest()
        chance = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        drawn = chance.integers(0, len(seeds), (len(seeds), count))
        means: Floats = values[drawn, np.arange(count)].mean(axis=0)
        return means

    def same_rows(self, other: Group, name: str) -> bool:
        """Whether both were scored on the same rows."""
        prints = {group.report(name, seed)["fingerprint"] for group in (self, other) for seed in group.seeds}
        return len(prints) == 1


def groups_of(records: Sequence[Record]) -> list[Group]:
    """Cells by all that they are but their seed, in the order of the records."""
    sorted_out: dict[Key, list[Record]] = {}
    for record in records:
        facts = record["cell"]
        key = tuple(str(facts[name]) for name in sorted(facts) if name != "seed")
        sorted_out.setdefault(key, []).append(record)
    return [Group(members) for members in sorted_out.values()]


def difference(one: Group, other: Group, name: str, decision: str, metric: str) -> Difference | None:
    """How two groups differ in a metric, by a paired bootstrap over rows and seeds.

    Args:
        one: A group.
        other: What it is compared with.
        name: Of the rows, on which both were scored.
        decision: `CHOSEN`, or a decision's name.
        metric: What is compared.

    Returns:
        None where the rows are not the same, no seed is common to both, or no resamples were kept.
    """
    return mean_difference([(one, other, name)], decision, metric)


def mean_difference(pairs: Sequence[tuple[Group, Group, str]], decision: str, metric: str) -> Difference | None:
    """As `difference`, of the means over several sets of rows, each with groups of its own."""
    sides: list[list[Floats]] = [[], []]
    for *groups, name in pairs:
        seeds = sorted(set(groups[0].seeds) & set(groups[1].seeds))
        if not seeds or not groups[0].same_rows(groups[1], name):
            return None
        for side, group in zip(sides, groups, strict=True):
            values = group.resampled(name, decision, metric, seeds)
            if values is None:
                return None
            side.append(values)
    count = min(len(values) for side in sides for values in side)
    mine, theirs = (np.mean([values[:count] for values in side], axis=0) for side in sides)
    return paired_difference(mine, theirs)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
