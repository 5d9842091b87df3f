"""Times of several systems side by side: in one process, in an order shuffled anew each round."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Timed:
    """What the counted rounds took one system, in the order of the rounds.

    Args:
        clock: Seconds that passed.
        processor: Seconds of processor time that this process used, all its threads together. Other programs disturb
            it less; of what runs on a GPU it says nothing.
        result: What the system returned last.
    """

    clock: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    result: Any = None

    def spread(self) -> dict[str, float]:
        """The fields of a record: median, least and most of both times, in seconds."""
        return {
            "median_s": round(statistics.median(self.clock), 4),
            "min_s": round(min(self.clock), 4),
            "max_s": round(max(self.clock), 4),
            "processor_s": round(statistics.median(self.processor), 4),
            "processor_min_s": round(min(self.processor), 4),
            "processor_max_s": round(max(self.processor), 4),
        }

    def over(self, other: Timed) -> dict[str, float]:
        """The ratios of the medians to another system's."""
        mine, its = self.spread(), other.spread()
        return {
            "ratio": round(mine["median_s"] / its["median_s"], 3),
            "processor_ratio": round(mine["processor_s"] / its["processor_s"], 3),
        }


def shuffled_rounds(
    systems: Mapping[str, Callable[[], Any]],
    rounds: int,
    fewer: Mapping[str, int] | None = None,
    wait: Callable[[], None] = lambda: None,
    warm: bool = False,
) -> dict[str, Timed]:
    """Runs all systems in so many rounds, after one that is not counted.

    Args:
        systems: What is run, by name.
        rounds: Counted ones.
        fewer: The counted rounds of systems that take long.
        wait: Returns when the device has done all that it was given.
        warm: Whether all of them have run before; then every round is counted.
    """
    timed = {name: Timed() for name in systems}
    names = list(systems)
    for number in range(1 if warm else 0, rounds + 1):
        random.Random(number).shuffle(names)
        for name in names:
            if number > (fewer or {}).get(name, rounds):
                continue
            started, worked = time.perf_counter(), time.process_time()
            timed[name].result = systems[name]()
            wait()
            if number:
                timed[name].clock.append(time.perf_counter() - started)
                timed[name].processor.append(time.process_time() - worked)
    return timed
