from __future__ import annotations

import pytest
import torch

from predgen.model.sampling import GumbelNoise, draw_coins


def test_coins_belong_to_the_row_whatever_the_batch() -> None:
    rows = torch.tensor([5, 2, 9, 7])
    whole = draw_coins("token", 0.5, seed=3, step=11, row_ids=rows, width=6)
    halves = [draw_coins("token", 0.5, 3, 11, part, 6) for part in (rows[:2], rows[2:])]
    assert torch.equal(whole, torch.cat(halves))
    assert not torch.equal(whole, draw_coins("token", 0.5, 3, 12, rows, 6))
    assert not torch.equal(whole, draw_coins("token", 0.5, 4, 11, rows, 6))


def test_no_row_goes_on_where_another_began() -> None:
    uniform = GumbelNoise(0, 0, torch.arange(50), choices=8).take(4).flatten(1)
    assert uniform.unique().numel() == uniform.numel()


def test_coins_come_up_as_often_as_asked() -> None:
    coins = draw_coins("token", 0.3, 0, 0, torch.arange(2000), 5)
    assert coins.float().mean().item() == pytest.approx(0.3, abs=0.02)
    rows = draw_coins("sequence", 0.3, 0, 0, torch.arange(2000), 5)
    assert bool((rows == rows[:, :1]).all())
    assert rows[:, 0].float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert not draw_coins("token", 0.0, 0, 0, torch.arange(9), 5).any()
    assert draw_coins("token", 1.0, 0, 0, torch.arange(9), 5).all()


def test_one_coin_for_all_rows_of_a_batch_is_the_first_rows() -> None:
    rows = torch.tensor([5, 2, 9, 7])
    drawn = [draw_coins("batch", 0.5, 3, step, rows, 6) for step in range(40)]
    assert all(coins.all() or not coins.any() for coins in drawn)
    assert 5 < sum(bool(coins.all()) for coins in drawn) < 35
    alone = [draw_coins("sequence", 0.5, 3, step, rows[:1], 6)[0, 0] for step in range(40)]
    assert [coins[3, 5] for coins in drawn] == alone


def test_parallel_tosses_one_coin_a_token() -> None:
    rows = torch.arange(8)
    assert torch.equal(draw_coins("parallel", 0.5, 3, 1, rows, 6), draw_coins("token", 0.5, 3, 1, rows, 6))


def test_noise_is_gumbels_and_the_rows_own() -> None:
    noise = GumbelNoise(0, 0, torch.arange(400), choices=6).take(5)
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.03)  # Euler's constant
    assert noise.var().item() == pytest.approx(1.6449, abs=0.06)  # π² / 6
    assert torch.equal(GumbelNoise(0, 0, torch.tensor([7]), 6).take(5)[0], noise[7])
    assert not torch.equal(GumbelNoise(0, 1, torch.tensor([7]), 6).take(5)[0], noise[7])
