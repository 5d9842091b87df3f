from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from predgen.model.director import ClassDirector, OrderedPenalty, Reading, ValueDirector, mean_state

STATES = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [9.0, 9.0]], [[2.0, 2.0], [7.0, 7.0], [7.0, 7.0]]])
MASK = torch.tensor([[True, True, False], [True, False, False]])
READING = Reading(
    STATES,
    MASK,
    token_losses=torch.tensor([[4.0, 1.0, 1.0, 50.0], [1.0, 1.0, 1.0, 1.0]]),
    token_weights=torch.tensor([[3.0, 2.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]),
)


def with_weights(module: nn.Module, weight: list[list[float]], bias: list[float]) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.tensor(weight))
        module.bias.copy_(torch.tensor(bias))


def test_a_head_starts_at_nothing_known() -> None:
    assert ClassDirector(2, 3).class_logits(STATES, MASK).tolist() == [[0.0] * 3] * 2
    assert ValueDirector(2, mean=10.0, spread=4.0).value(STATES, MASK).tolist() == [10.0, 10.0]


def test_padding_does_not_enter_the_mean() -> None:
    assert mean_state(STATES, MASK).tolist() == [[2.0, 1.0], [2.0, 2.0]]


def test_class_director_by_hand() -> None:
    director = ClassDirector(2, 2)
    with_weights(director.output.linear, [[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    # mean states (2, 1), (2, 2) → normalised (1, −1), (0, 0)
    logits = director.class_logits(STATES, MASK)
    assert torch.allclose(logits, torch.tensor([[1.0, -1.0], [0.0, 0.0]]), atol=1e-4)
    loss = director.loss(READING, torch.tensor([0, 1]), torch.zeros(2))
    assert loss.tolist() == pytest.approx([math.log(1 + math.exp(-2)), math.log(2)], rel=1e-4)
    assert director.value(STATES, MASK) is None


def test_value_director_by_hand() -> None:
    director = ValueDirector(2, mean=10.0, spread=4.0)
    with_weights(director.output.linear, [[0.5, -1.0]], [1.0])
    # head inputs (1, −1), (0, 0) → 1 + ½ + 1, 1 in standard deviations → 20, 14
    assert director.value(STATES, MASK).tolist() == pytest.approx([20.0, 14.0], rel=1e-4)
    # targets 18, 10 → 2, 0 standardised → errors of ½ and 1
    loss = director.loss(READING, torch.zeros(2), torch.tensor([18.0, 10.0]))
    assert loss.tolist() == pytest.approx([0.25, 1.0], rel=1e-3)
    assert director.class_logits(STATES, MASK) is None


def test_ordered_penalty_weighs_leading_places_more() -> None:
    penalty = OrderedPenalty()
    # (3·4 + 2·1 + 1·1) / 6; the last target is masked out
    assert penalty.loss(READING, torch.zeros(2), torch.zeros(2)).tolist() == pytest.approx([2.5, 1.0])
    assert list(penalty.parameters()) == []
    assert penalty.value(STATES, MASK) is None
