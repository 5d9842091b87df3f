from __future__ import annotations

import math

import pytest
import torch

from predgen.model.pooling import AttentionPool, build_pool, mean_state

NEARER = math.tanh(0.5)  # (e − 1) / (e + 1)
STATES = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [9.0, 9.0]], [[7.0, 7.0], [2.0, 4.0], [6.0, 8.0]]])
MASK = torch.tensor([[1, 1, 0], [0, 1, 1]])  # padded on the right, and on the left


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("first", [[1.0, 0.0], [2.0, 4.0]]),
        ("last", [[3.0, 2.0], [6.0, 8.0]]),
        ("mean", [[2.0, 1.0], [4.0, 6.0]]),
        # Its query is zero at the start: e : 1 for the last token and the one before.
        ("attention", [[2 + NEARER, 1 + NEARER], [4 + 2 * NEARER, 6 + 2 * NEARER]]),
    ],
)
def test_poolings_by_hand(pooling: str, expected: list[list[float]]) -> None:
    assert torch.allclose(build_pool(pooling, 2)(STATES, MASK), torch.tensor(expected))


def test_attention_by_hand() -> None:
    pool = AttentionPool(2)
    with torch.no_grad():
        pool.query.copy_(torch.tensor([2**0.5, 0.0]))
        pool.recency.fill_(0.5)
    # scores are the first feature, less ½ a token: weights e^½ : e³ for (1, 0), (3, 2)
    share = torch.tensor(2.5).sigmoid()
    assert torch.allclose(pool(STATES, MASK)[0], torch.stack([1 + 2 * share, 2 * share]))


@pytest.mark.parametrize("pooling", ["last", "mean", "attention"])
def test_padding_between_tokens_changes_nothing(pooling: str) -> None:
    apart = torch.tensor([[[1.0, 0.0], [5.0, 5.0], [3.0, 2.0]]]), torch.tensor([[1, 0, 1]])
    assert torch.equal(build_pool(pooling, 2)(*apart), build_pool(pooling, 2)(STATES[:1], MASK[:1]))


def test_a_query_and_a_bias_learn_from_where_they_start() -> None:
    pool = AttentionPool(2)
    pool(STATES, MASK).square().sum().backward()
    assert pool.query.grad is not None and pool.query.grad.abs().min() > 0
    assert pool.recency.grad is not None and pool.recency.grad.abs() > 0


def test_padding_does_not_enter_the_mean_and_an_empty_answer_is_zero() -> None:
    assert mean_state(STATES, MASK).tolist() == [[2.0, 1.0], [4.0, 6.0]]
    assert mean_state(STATES, torch.zeros(2, 3)).tolist() == [[0.0, 0.0]] * 2
