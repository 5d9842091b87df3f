from __future__ import annotations

import itertools

import pytest
import torch

from predgen.data.batches import TrainingRow
from predgen.processes import Processes
from predgen.training.passes import SHARE, Division, StepLoader, StepSampler, in_parts, split_batch


def everyones(step_rows: int, most: int, count: int) -> list[Division]:
    return [Division(step_rows, most, Processes(rank, count)) for rank in range(count)]


@pytest.mark.parametrize(
    ("step_rows", "most", "count", "rows"), list(itertools.product((1, 6, 16), (1, 4, 16), (1, 2, 3), (1, 2, 16, 37)))
)
def test_every_row_counts_once_and_no_process_makes_a_pass_more(
    step_rows: int, most: int, count: int, rows: int
) -> None:
    samplers = [StepSampler(rows, 3, division) for division in everyones(step_rows, most, count)]
    passes = [list(sampler) for sampler in samplers]
    assert len({len(mine) for mine in passes}) == 1 and len(passes[0]) == len(samplers[0])
    assert all(len(each) <= most for mine in passes for each in mine)
    order = list(itertools.chain.from_iterable(StepSampler(rows, 3, Division(step_rows, step_rows))))
    read = [place for mine in passes for each in mine for place in each if place.share]
    assert sorted(place.row for place in read) == list(range(rows))
    # The steps are those of one process: the same rows, with the same shares.
    assert {(place.row, place.share) for place in read} == {(place.row, place.share) for place in order}
    assert sum(place.share for place in read) == pytest.approx(-(-rows // step_rows))


def test_a_whole_step_is_divided_as_the_settings_say_where_they_can() -> None:
    rows = list(range(12))
    assert [[place.row for place in each] for each in Division(12, 4).of_step(rows)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]
    one, other = everyones(12, 4, 2)
    assert [[place.row for place in each] for each in one.of_step(rows)] == [[0, 1, 2], [3, 4, 5]]
    assert [[place.row for place in each] for each in other.of_step(rows)] == [[6, 7, 8], [9, 10, 11]]
    assert (one.passes, one.width) == (2, 3) and one.halved().width == 2


def test_a_process_without_rows_reads_one_that_does_not_count() -> None:
    _, second, third = everyones(8, 4, 3)
    assert [(place.row, place.share) for place in second.of_step([5, 7])[0]] == [(7, 0.5)]
    assert [(place.row, place.share) for place in third.of_step([5, 7])[0]] == [(5, 0.0)]


def test_epochs_differ_and_repeat() -> None:
    sampler = StepSampler(20, 0, Division(4, 4))
    epochs = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    assert epochs[0] == epochs[2] != epochs[1]


def test_parts_are_in_order_and_even() -> None:
    assert [list(part) for part in in_parts(range(7), 3)] == [[0, 1, 2], [3, 4], [5, 6]]
    assert [list(part) for part in in_parts(range(1), 2)] == [[0], []]


def test_a_batch_split_is_what_smaller_batches_are() -> None:
    rows = [TrainingRow([1] * length, 0, 0.0, length) for length in (2, 5, 1, 1, 3)]
    [whole] = StepLoader(rows, 0, Division(5, 5))
    smaller = list(StepLoader(rows, 0, Division(5, 2)))
    parts = split_batch(whole, 2)
    assert split_batch(whole, 5) == [whole]
    assert [part[SHARE] for part in parts] == [batch[SHARE] for batch in smaller] == [[0.2] * 2, [0.2] * 2, [0.2]]
    for part, batch in zip(parts, smaller, strict=True):
        for name in batch:
            assert name == SHARE or torch.equal(part[name], batch[name])
