"""How the rows of an optimizer step are divided into passes, and the passes among processes.

The settings say how many rows an optimizer step takes: `train.batch_size` times `train.accumulate`. However many
processes share them, and however few of them fit into memory at once, the step's gradient is that of the mean over
these rows, in the same order. So the number of processes and the size of a pass change no result beyond rounding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import DataLoader, Dataset, Sampler

from predgen.config import RunConfig, TrainConfig
from predgen.data.batches import TrainingRow, collate
from predgen.processes import ALONE, Processes

SHARE = "share"  # of a collated batch: what each row's loss counts in its optimizer step's mean


class Place(NamedTuple):
    """A training row in a pass."""

    row: int  # its position in the training set
    share: float  # of the step's mean; 0 for a row that is read only because its process has none of its own to read


@dataclass(frozen=True)
class Division:
    """How a step's rows are divided.

    Args:
        step_rows: Rows of an optimizer step.
        most: Rows that a pass may have.
        processes: Who shares them.
    """

    step_rows: int
    most: int
    processes: Processes = ALONE

    @property
    def passes(self) -> int:
        """Passes that each process makes for a whole step; all make the same number."""
        return self._passes(self.step_rows)

    @property
    def width(self) -> int:
        """Rows of the largest pass."""
        return math.ceil(self.step_rows / (self.passes * self.processes.count))

    def halved(self) -> Division:
        """The same rows in passes of half as many."""
        return replace(self, most=math.ceil(self.width / 2))

    def of_step(self, rows: Sequence[int]) -> list[list[Place]]:
        """This process's passes over the rows of a step, of sizes that differ by one at most.

        Args:
            rows: All of the step's; at the end of an epoch fewer than of others.
        """
        passes = self._passes(len(rows))
        first = self.processes.rank * passes
        parts = in_parts(rows, passes * self.processes.count)[first : first + passes]
        share = 1 / len(rows)
        # Processes wait for each other at the end of a pass, so that none may leave one out.
        return [[Place(row, share) for row in part] or [Place(rows[0], 0.0)] for part in parts]

    def of_epoch(self, rows: int) -> int:
        """Passes that each process makes over so many rows."""
        whole, rest = divmod(rows, self.step_rows)
        return whole * self.passes + (self._passes(rest) if rest else 0)

    def _passes(self, rows: int) -> int:
        return math.ceil(rows / (self.most * self.processes.count))


def division_of(config: TrainConfig, rows: int, processes: Processes) -> Division:
    """As the settings have it, for so many training rows."""
    return Division(min(config.batch_size * config.accumulate, rows), config.batch_size, processes)


def say_division(config: RunConfig, division: Division, say: Callable[[str], None]) -> None:
    """Says how processes share a step, and what of the settings depends on how rows are divided into passes."""
    count = division.processes.count
    if count > 1:
        say(
            f"{count} processes share the {division.step_rows} rows of a step: up to {division.width} a pass, "
            f"{division.passes} {'pass' if division.passes == 1 else 'passes'} each."
        )
    by_pass = [
        name
        for name, asked in (("loss_of=batch", config.loss_of), ("sampling.mode=batch", config.sampling.mode))
        if asked == "batch" and config.method == "predgen"
    ]
    if by_pass and division.width != min(config.train.batch_size, division.step_rows):
        say(
            f"{' and '.join(by_pass)} takes the rows of a pass together: the result is not that of passes of "
            f"{config.train.batch_size} rows."
        )


def in_parts(rows: Sequence[int], count: int) -> list[Sequence[int]]:
    """Cuts a sequence, in order, into so many parts whose lengths differ by one at most; the longer come first."""
    short, longer = divmod(len(rows), count)
    ends = [part * short + min(part, longer) for part in range(count + 1)]
    return [rows[start:end] for start, end in itertools.pairwise(ends)]


class StepSampler(Sampler[list[Place]]):
    """One process's passes over the training rows, in an order that the seed and the epoch make.

    Args:
        rows: How many training rows there are.
        seed: Of the order.
        division: How a step's rows are divided.
    """

    def __init__(self, rows: int, seed: int, division: Division) -> None:
        self._rows, self._division = rows, division
        self._order = SeedableRandomSampler(range(rows), data_seed=seed)

    def set_epoch(self, epoch: int) -> None:
        """Which order comes next."""
        self._order.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[Place]]:
        order = list(self._order)
        for start in range(0, len(order), self._division.step_rows):
            yield from self._division.of_step(order[start : start + self._division.step_rows])

    def __len__(self) -> int:
        return self._division.of_epoch(self._rows)


class _Places(Dataset[tuple[TrainingRow, float]]):
    """The training rows, found by their places."""

    def __init__(self, rows: Sequence[TrainingRow]) -> None:
        self._rows = rows

    def __getitem__(self, place: Place) -> tuple[TrainingRow, float]:
        return self._rows[place.row], place.share

    def __len__(self) -> int:
        return len(self._rows)


class StepLoader(DataLoader[tuple[TrainingRow, float]]):
    """One process's passes as collated batches, each with its rows' shares under `SHARE`.

    Args:
        rows: The training rows.
        seed: Of their order.
        division: How a step's rows are divided.
    """

    def __init__(self, rows: Sequence[TrainingRow], seed: int, division: Division) -> None:
        self._sampler = StepSampler(len(rows), seed, division)
        pinned = torch.cuda.is_available()
        super().__init__(_Places(rows), batch_sampler=self._sampler, collate_fn=_collated, pin_memory=pinned)

    def set_epoch(self, epoch: int) -> None:
        """Which order comes next."""
        self._sampler.set_epoch(epoch)


def _collated(found: Sequence[tuple[TrainingRow, float]]) -> dict[str, Any]:
    return {**collate([row for row, _ in found]), SHARE: [share for _, share in found]}


def split_batch(batch: dict[str, Any], most: int) -> list[dict[str, Any]]:
    """A collated batch in as few parts of at most so many rows as will do, each padded to its own longest prompt."""
    count = len(batch[SHARE])
    if count <= most:
        return [batch]
    made = []
    for part in in_parts(range(count), math.ceil(count / most)):
        rows = {name: column[part[0] : part[-1] + 1] for name, column in batch.items()}
        empty = int(rows["prompt_mask"].any(dim=0).int().argmax())  # columns that are padding in every row
        cut = {name: rows[name][:, empty:] for name in ("prompt_ids", "prompt_mask")}
        made.append({**rows, **cut})
    return made
