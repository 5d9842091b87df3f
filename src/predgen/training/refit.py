"""Once training is over: what is linear in the states is fitted to the states that there are now.

A few dozen steps move a writer's states further than what reads them, be it output weights that stand still or a head
that learns by the same small steps. What is linear in the states needs no steps: it has one best fit, which takes
seconds. Candidates that hold weights down more or less are judged as checkpoints are, by the metric that selects, on
the dev rows; so is the best of them beside what training has left.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from torch import Tensor

from predgen.config import RunConfig
from predgen.data.batches import TrainingRow
from predgen.metrics import chosen_over
from predgen.model.outputs import Scores
from predgen.processes import Processes
from predgen.scoring import over_windows
from predgen.training.bench import Bench
from predgen.training.dev_result import DevResult
from predgen.training.plan import Plan
from predgen.training.prepare import Say

_PROMPTS_AT_ONCE = 256  # their states are kept until every candidate has read them


class Refit(ABC):
    """Weights of a trained method that are linear in its states."""

    setting: str  # that asks for it
    what: str  # these weights are called
    reader_name: str | None  # what reads them, as `Method.reader_name`; None: the posterior

    @abstractmethod
    def fit(self, rows: Sequence[TrainingRow], config: RunConfig) -> list[Tensor]:
        """Candidates, fitted to the states of training rows."""

    @abstractmethod
    def scores(self, candidates: Sequence[Tensor], prompts: Sequence[Sequence[int]], batch_size: int) -> list[Scores]:
        """What each candidate says of prompts, which are read once."""

    @abstractmethod
    def put(self, weights: Tensor | None) -> Tensor | None:
        """Puts weights into the method, or none where there were none; returns those that were there."""

    @abstractmethod
    def keep(self, weights: Tensor, folder: Path) -> None:
        """Writes weights to the run folder, where they are no part of what is saved with the method."""


def refit(
    weights: Refit,
    rows: Sequence[TrainingRow],
    plan: Plan,
    bench: Bench,
    evaluate: Callable[[], DevResult],
    on_dev: DevResult,
    processes: Processes,
    say: Say,
) -> DevResult:
    """Fits weights again, and keeps the new ones where the dev rows have it better with them.

    Args:
        weights: Of a method that has the best checkpoint's.
        rows: The training rows.
        plan: The run.
        bench: What the method was trained with.
        evaluate: Scores the dev rows as checkpoints are; in all processes at once.
        on_dev: What the dev rows have without.
        processes: That work together; the main one's fit is everyone's.
        say: Takes one line at a time.

    Returns:
        What the dev rows have with the weights that were kept.
    """
    started = time.monotonic()
    found = _best_on_dev(weights, rows, plan, bench) if processes.main else None
    fitted = cast(Tensor, processes.gathered(found)[0])
    before = weights.put(fitted)
    after = evaluate()
    kept = _wins(after, on_dev)
    if not kept:
        weights.put(before)
    elif processes.main:
        weights.keep(fitted, plan.folder)
    verdict = "left as before" if not kept else "kept" if after.value != on_dev.value else "kept for its log loss"
    say(
        f"{weights.what}, fitted again to the trained states: dev {on_dev.metric} {on_dev.value:.4f} → "
        f"{after.value:.4f}, {verdict} ({time.monotonic() - started:.0f} s). ({weights.setting})"
    )
    return after if kept else on_dev


def _best_on_dev(weights: Refit, rows: Sequence[TrainingRow], plan: Plan, bench: Bench) -> Tensor:
    """The candidate that the dev rows do best with, on the CPU."""
    dev, candidates = bench.prompts["dev"], weights.fit(rows, plan.config)
    parts = [
        weights.scores(candidates, dev.prompts[start : start + _PROMPTS_AT_ONCE], plan.config.train.eval_batch_size)
        for start in range(0, len(dev.prompts), _PROMPTS_AT_ONCE)
    ]
    scores = [over_windows(Scores.joined(part), dev) for part in zip(*parts, strict=True)]
    results = [plan.examiner.dev([each], (weights.reader_name,)) for each in scores]
    best = 0
    for place, result in enumerate(results):
        if _wins(result, results[best]):
            best = place
    return candidates[best].cpu()


def _wins(one: DevResult, other: DevResult) -> bool:
    return chosen_over(one.metric, one.decisions[one.decision], other.decisions[other.decision])
