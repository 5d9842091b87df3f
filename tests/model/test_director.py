from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from predgen.answers.log_grid import LogGrid
from predgen.model.director import (
    Answer,
    ClassDirector,
    ExpectedValue,
    NumberTokenLoss,
    OrderedPenalty,
    RankedProbability,
    Reading,
    ReleasedOrderedPenalty,
    ValueDirector,
    VocabularyDirector,
    error_of,
)
from predgen.model.pooling import AttentionPool, MeanPool
from predgen.model.scale import Scale, scale_of

# Two rows of T = 3 and V = 4: tokens 1 and 2 spell the numerals 3 and 7.
STATES = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [9.0, 9.0]], [[2.0, 2.0], [7.0, 7.0], [7.0, 7.0]]])
MASK = torch.tensor([[True, True, False], [True, False, False]])
LOGITS = torch.tensor([[[0.0, 1.0, 2.0, 3.0]] * 4, [[1.0, 0.0, 0.0, 0.0]] * 4])  # (B, T + 1, V)
ANSWER = Answer(STATES, MASK, LOGITS[:, 1:])
READING = Reading(
    answer=ANSWER,
    logits=LOGITS,
    targets=torch.tensor([[1, 2, 0, 0], [2, 0, 0, 0]]),
    target_mask=torch.tensor([[True, True, True, False], [True, True, False, False]]),
    token_losses=torch.tensor([[4.0, 1.0, 1.0, 50.0], [1.0, 1.0, 1.0, 1.0]]),
    token_weights=torch.tensor([[3.0, 2.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]),
    log_posterior=lambda: torch.tensor([[0.25, 0.75], [1.0, 0.0]]).log(),
)
NOTHING = torch.zeros(2, dtype=torch.long)


def with_weights(module: nn.Module, weight: list[list[float]], bias: list[float]) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.tensor(weight))
        module.bias.copy_(torch.tensor(bias))


def test_a_head_starts_at_nothing_known() -> None:
    assert ClassDirector(MeanPool(), 2, 3).class_logits(ANSWER).tolist() == [[0.0] * 3] * 2
    assert ValueDirector(MeanPool(), 2, Scale(10.0, 4.0)).value(ANSWER).tolist() == [10.0, 10.0]


def test_class_director_by_hand() -> None:
    director = ClassDirector(MeanPool(), 2, 2)
    with_weights(director.output.linear, [[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    # mean states (2, 1), (2, 2) → normalised (1, −1), (0, 0)
    logits = director.class_logits(ANSWER)
    assert torch.allclose(logits, torch.tensor([[1.0, -1.0], [0.0, 0.0]]), atol=1e-4)
    loss = director.loss(READING, torch.tensor([0, 1]), torch.zeros(2))
    assert loss.tolist() == pytest.approx([math.log(1 + math.exp(-2)), math.log(2)], rel=1e-4)
    assert director.value(ANSWER) is None


def test_vocabulary_director_by_hand() -> None:
    director = VocabularyDirector(4, 2)
    nn.init.zeros_(director.narrow.weight), nn.init.zeros_(director.narrow.bias)
    nn.init.zeros_(director.output.weight), nn.init.zeros_(director.output.bias)
    with torch.no_grad():
        director.narrow.weight[0] = torch.tensor([0.0, 0.0, 0.0, 1.0])  # the last token's logit …
        director.output.weight[1, 0] = 2.0  # … twice, is the second class's
    varied = Answer(STATES, MASK, torch.arange(24.0).view(2, 3, 4))
    # row 0 averages its first two positions' (3, 7) → 5, row 1 has 15 alone
    assert director.class_logits(varied).tolist() == [[0.0, 10.0], [0.0, 30.0]]
    loss = director.loss(READING._replace(answer=varied), torch.tensor([1, 0]), torch.zeros(2))
    assert loss.tolist() == pytest.approx([math.log1p(math.exp(-10)), 30.0], rel=1e-3)


def test_value_director_by_hand() -> None:
    director = ValueDirector(MeanPool(), 2, Scale(10.0, 4.0))
    with_weights(director.output.linear, [[0.5, -1.0]], [1.0])
    # head inputs (1, −1), (0, 0) → 1 + ½ + 1, 1 in standard deviations → 20, 14
    assert director.value(ANSWER).tolist() == pytest.approx([20.0, 14.0], rel=1e-4)
    # targets 18, 10 → 2, 0 standardised → errors of ½ and 1
    loss = director.loss(READING, NOTHING, torch.tensor([18.0, 10.0]))
    assert loss.tolist() == pytest.approx([0.25, 1.0], rel=1e-3)
    assert director.class_logits(ANSWER) is None


def test_a_director_that_reads_the_prompt_too_by_hand() -> None:
    director = ValueDirector(AttentionPool(2), 2, Scale(10.0, 4.0), reads_prompt=True)
    director.output = nn.Identity()  # the pooled states as they are
    answer = ANSWER._replace(
        prompt_states=torch.tensor([[[50.0, 60.0], [4.0, 1.0]], [[5.0, 5.0], [1.0, 4.0]]]),
        prompt_mask=torch.tensor([[0, 1], [1, 1]]),
    )
    # Row 0: (4, 1), (1, 0), (3, 2) are 0, 1 and 2 tokens from where the answer begins; row 1: (5, 5), (1, 4), (2, 2)
    # are 1, 0 and 1.
    near, far = math.exp(-1), math.exp(-2)
    one, other = 1 + near + far, 1 + 2 * near
    expected = [
        [(4 + near + 3 * far) / one, (1 + 2 * far) / one],
        [(1 + 7 * near) / other, (4 + 7 * near) / other],
    ]
    assert torch.allclose(director.read(answer), torch.tensor(expected))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("squared", [0.25, 1.0, 9.0]), ("absolute", [0.5, 1.0, 3.0]), ("huber", [0.25, 1.0, 5.0])],
)
def test_errors_by_hand(kind: str, expected: list[float]) -> None:
    assert error_of(kind, torch.tensor([-0.5, 1.0, -3.0])).tolist() == pytest.approx(expected)


def test_ordered_penalty_weighs_leading_places_more() -> None:
    penalty = OrderedPenalty()
    # (3·4 + 2·1 + 1·1) / 6; the last target is masked out
    assert penalty.loss(READING, NOTHING, torch.zeros(2)).tolist() == pytest.approx([2.5, 1.0])
    assert list(penalty.parameters()) == []
    assert penalty.value(ANSWER) is None


def test_the_released_ordered_penalty_scores_the_logits_at_a_token_against_that_token() -> None:
    loss = ReleasedOrderedPenalty().loss(READING, NOTHING, torch.zeros(2))
    # linspace(59, 2, 59) has the mean 30.5; its first two are 59 and 59 − 57/58
    first, second = 59 / 30.5, (59 - 57 / 58) / 30.5
    total = math.log(sum(math.exp(value) for value in range(4)))
    # row 0: tokens 1 and 2 have the logits 1 and 2; row 1: token 2 has 0 beside 1, 0, 0
    assert loss.tolist() == pytest.approx(
        [(first * (total - 1) + second * (total - 2)) / 2, first * math.log(3 + math.e)], rel=1e-5
    )


def test_under_gold_history_the_released_penalty_is_a_copying_loss() -> None:
    """A model that repeats its input has learned nothing of the target, and yet this loss is 0; ours is not."""
    copies = torch.full((2, 3, 4), -50.0).scatter(2, READING.targets[:, :3, None], 50.0)
    copying = READING._replace(answer=Answer(STATES, MASK, copies))
    assert ReleasedOrderedPenalty().loss(copying, NOTHING, torch.zeros(2)).max() < 1e-6
    assert OrderedPenalty().loss(copying, NOTHING, torch.zeros(2)).min() > 0.5


def test_expected_value_by_hand() -> None:
    director = ExpectedValue((2.0, 6.0), Scale(1.0, 2.0))
    # expectations 5, 2; targets 9, 2; in standard deviations −2, 0
    assert director.loss(READING, NOTHING, torch.tensor([9.0, 2.0])).tolist() == pytest.approx([4.0, 0.0])
    absolute = ExpectedValue((2.0, 6.0), Scale(1.0, 2.0), error="absolute")
    assert absolute.loss(READING, NOTHING, torch.tensor([9.0, 2.0])).tolist() == pytest.approx([2.0, 0.0])


def test_the_expected_value_is_not_rounded_under_autocast() -> None:
    """bfloat16 tells 776 from 780, and nothing between."""
    director = ExpectedValue((500.0, 777.0), Scale())
    with torch.autocast("cpu", torch.bfloat16):
        losses = director.loss(
            READING._replace(log_posterior=lambda: torch.tensor([[0.0, -40.0], [-40.0, 0.0]])),
            NOTHING,
            torch.tensor([500.0, 776.0]),
        )
    assert losses.tolist() == pytest.approx([0.0, 1.0])


def test_over_orders_of_magnitude_the_expected_value_errs_on_the_targets_scale() -> None:
    """On a log grid the spread is one of logarithms, and so is the error: by a tenth it is small, at a million too."""
    grid = LogGrid(1, 9_900_000, 1, 2)
    targets = [3.0, 200.0, 40_000.0, 1_000_000.0]
    director = ExpectedValue(grid.values, scale_of(grid, targets))
    answers = torch.tensor([grid.index(1.1 * target) for target in targets])
    sure = torch.full((4, len(grid)), -torch.inf).scatter(1, answers[:, None], 0.0)
    losses = director.loss(READING._replace(log_posterior=lambda: sure), NOTHING, torch.tensor(targets))
    assert losses[1:].tolist() == pytest.approx([(math.log(1.1) / director.scale.spread) ** 2] * 3, rel=0.05)


def test_ranked_probability_by_hand() -> None:
    posterior = torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])
    reading = READING._replace(log_posterior=posterior.log)
    director = RankedProbability((0.0, 2.0, 6.0), Scale(1.0, 2.0))
    # F = ½ up to 2, ¾ up to 6; gold 2: ½² · 2 + ¼² · 4, in standard deviations of 2. All on 6, gold 0: 2 + 4
    assert director.loss(reading, torch.tensor([1, 0]), torch.tensor([2.0, 0.0])).tolist() == [0.375, 3.0]
    # All on gold costs nothing.
    assert director.loss(reading, torch.tensor([1, 2]), torch.tensor([2.0, 6.0]))[1] == 0


def test_ranked_probability_is_a_mean_distance_less_half_of_that_between_two_draws() -> None:
    values = torch.tensor([-1.0, 0.5, 0.75, 4.0, 10.0])
    posterior = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    distance = (values[:, None] - values).abs()
    gold = torch.tensor([0, 3, 4])
    expected = (posterior * distance[gold]).sum(dim=1) - (posterior @ distance * posterior).sum(dim=1) / 2
    found = RankedProbability(values.tolist(), Scale(0.0, 4.0)).loss(
        READING._replace(log_posterior=posterior.log), gold, values[gold]
    )
    assert torch.allclose(found, expected / 4)


def test_number_token_loss_by_hand() -> None:
    loss = NumberTokenLoss({1: 3, 2: 7}).loss(READING, NOTHING, torch.zeros(2))
    # row 0: p(7) = σ(1) at both numeral positions; gold 3 then 7: 4 σ(1), 4 (1 − σ(1)), on average 2
    # row 1: even odds, gold 7: ½ · 4; its terminator is no numeral
    assert loss.tolist() == pytest.approx([2.0, 2.0])


def test_no_numeral_left_costs_nothing() -> None:
    silent = READING._replace(target_mask=torch.zeros(2, 4, dtype=torch.bool))
    assert NumberTokenLoss({1: 3, 2: 7}).loss(silent, NOTHING, torch.zeros(2)).tolist() == [0.0, 0.0]
