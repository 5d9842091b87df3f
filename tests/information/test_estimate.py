from __future__ import annotations

import math

import numpy as np
import pytest

from predgen.errors import ConfigError, DataError
from predgen.information.critic import CriticSettings
from predgen.information.estimate import FEWEST_ROWS, Estimate, EstimateSettings, estimate, split_held_out
from predgen.information.targets import Target, continuous_target, discrete_target, entropy_of

QUICK = EstimateSettings(seeds=(0,), resamples=100, critic=CriticSettings(steps=300, learning_rate=5e-3))
ROWS = 2000


def read(a: np.ndarray, target: Target, estimator: str = "mine", settings: EstimateSettings = QUICK) -> Estimate:
    return estimate(a, target, *split_held_out(len(target), settings), estimator, settings)


def gaussians(rho: float, width: int, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray, float]:
    """Pairs with correlation rho in each of so many dimensions, and their information, −d/2 · log(1 − ρ²)."""
    draw = np.random.default_rng(width)
    a = draw.normal(size=(rows, width))
    y = rho * a + math.sqrt(1 - rho**2) * draw.normal(size=(rows, width))
    return a, y, -width / 2 * math.log(1 - rho**2)


def numbers(values: np.ndarray, step: float | None = None) -> Target:
    return continuous_target(values, split_held_out(len(values), QUICK)[0], step)


# The errors are stated, below and above: a lower bound learned from few rows falls short in many dimensions.
GAUSSIAN = [
    ("mine", 0.0, 1, 0.02, 0.02),
    ("mine", 0.9, 1, 0.08, 0.08),
    ("mine", 0.99, 1, 0.15, 0.10),
    ("mine", 0.5, 5, 0.25, 0.05),
    ("mine", 0.5, 20, 1.60, 0.10),
    ("nwj", 0.9, 1, 0.08, 0.08),
    ("infonce", 0.9, 1, 0.08, 0.08),
    ("probe", 0.0, 20, 0.06, 0.02),
    ("probe", 0.5, 5, 0.10, 0.08),
    ("probe", 0.9, 1, 0.08, 0.08),
    ("probe", 0.5, 20, 0.60, 0.10),
    ("probe", 0.99, 20, 1.50, 0.50),
]


@pytest.mark.parametrize(("estimator", "rho", "width", "below", "above"), GAUSSIAN)
def test_correlated_gaussians_have_the_information_of_the_formula(
    estimator: str, rho: float, width: int, below: float, above: float
) -> None:
    a, y, truth = gaussians(rho, width)
    found = read(a, numbers(y), estimator)
    assert truth - below <= found.nats <= truth + above
    assert found.bits == pytest.approx(found.nats / math.log(2))
    assert found.ceiling is None


def test_where_the_truth_is_out_of_reach_it_is_said() -> None:
    a, y, truth = gaussians(0.99, 20)
    found = read(a, numbers(y), "infonce")
    # The last block of rows may be nearly as long again as the others.
    assert found.nats <= math.log(2 * QUICK.critic.batch) < truth
    assert any("its own ceiling" in flag for flag in found.flags)


@pytest.mark.parametrize("estimator", ["mine", "nwj", "infonce", "probe"])
def test_a_binary_symmetric_channel(estimator: str) -> None:
    draw = np.random.default_rng(0)
    sent = draw.integers(2, size=ROWS)
    got = np.where(draw.random(ROWS) < 0.1, 1 - sent, sent)
    truth = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
    found = read(got[:, None].astype(float), discrete_target(sent.tolist()), estimator)
    assert found.nats == pytest.approx(truth, abs=0.05)
    assert found.low <= found.nats <= found.high
    assert found.ceiling == pytest.approx(math.log(2), abs=0.01)


def test_an_erasure_channel_of_four_letters() -> None:
    draw = np.random.default_rng(1)
    sent = draw.integers(4, size=ROWS)
    got = np.where(draw.random(ROWS) < 0.5, 4, sent)
    found = read(np.eye(5)[got], discrete_target(sent.tolist()))
    assert found.nats == pytest.approx(0.5 * math.log(4), abs=0.08)


@pytest.mark.parametrize("estimator", ["mine", "probe"])
def test_independent_variables_share_nothing(estimator: str) -> None:
    draw = np.random.default_rng(2)
    a, y = draw.normal(size=(ROWS, 30)), draw.integers(2, size=ROWS)
    assert abs(read(a, discrete_target(y.tolist()), estimator).nats) < 0.03


@pytest.mark.parametrize("estimator", ["mine", "probe"])
def test_what_several_numbers_say_of_each_other_is_not_counted(estimator: str) -> None:
    draw = np.random.default_rng(8)
    one = draw.normal(size=ROWS)
    alike = np.stack([one, one + 0.2 * draw.normal(size=ROWS)], axis=1)
    assert -0.1 < read(draw.normal(size=(ROWS, 3)), numbers(alike), estimator).nats < 0.03


def test_nothing_changes_under_invertible_maps() -> None:
    a, y, _ = gaussians(0.8, 3, 1500)
    turned = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    plain = read(a, numbers(y[:, 0])).nats
    assert read(7 * a @ turned - 2, numbers(y[:, 0])).nats == pytest.approx(plain, abs=0.08)
    # Numbers go in as ranks: any increasing map of the target is the very same estimate.
    assert read(a, numbers(np.exp(3 * y[:, 0]))).nats == pytest.approx(plain, abs=0.02)
    assert read(a, numbers(np.exp(3 * y[:, 0])), "probe").nats == pytest.approx(
        read(a, numbers(y[:, 0]), "probe").nats, abs=0.02
    )


def test_pooling_never_adds_information() -> None:
    draw = np.random.default_rng(4)
    tokens = draw.normal(size=(ROWS, 2, 2))
    # What the target depends on is a difference, which the mean loses.
    y = (tokens[:, 0, 0] - tokens[:, 1, 0] + 0.3 * draw.normal(size=ROWS) > 0).astype(int)
    target = discrete_target(y.tolist())
    whole, pooled = read(tokens.reshape(ROWS, 4), target), read(tokens.mean(axis=1), target)
    assert whole.nats > 0.4
    assert pooled.nats < 0.03


def test_no_estimate_exceeds_the_entropy() -> None:
    y = np.random.default_rng(5).integers(2, size=ROWS)
    found = read(np.stack([y, y], axis=1).astype(float), discrete_target(y.tolist()))
    assert found.ceiling is not None
    assert found.nats <= found.ceiling
    assert found.nats == pytest.approx(math.log(2), abs=0.02)


def test_numbers_on_a_grid_are_capped_by_their_entropy() -> None:
    draw = np.random.default_rng(6)
    y = draw.integers(0, 4, size=ROWS) * 0.5
    target = numbers(y, step=0.5)
    assert target.entropy == pytest.approx(math.log(4), abs=0.01)
    assert "steps of 0.5" in target.cap
    found = read(y[:, None], target)
    assert math.log(4) - 0.3 <= found.nats <= math.log(4)


def test_numbers_of_many_magnitudes_keep_their_order_on_a_fine_step() -> None:
    y = 10.0 ** np.random.default_rng(7).uniform(-6, 11, ROWS)
    target = numbers(y, step=1e-8)
    assert target.values is not None and target.entropy == pytest.approx(math.log(ROWS), abs=0.1)
    ranks, scores = np.argsort(np.argsort(y)), np.argsort(np.argsort(target.values[:, 0]))
    assert np.corrcoef(ranks, scores)[0, 1] > 0.9999


def test_entropy_by_hand() -> None:
    # ½ log 2 + ½ log 2, and (2 − 1) / (2 · 4); no more than log 2.
    assert entropy_of(np.array([0, 0, 1, 1])) == pytest.approx(math.log(2))
    plug_in = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert entropy_of(np.array([0, 0, 0, 1])) == pytest.approx(min(plug_in + 1 / 8, math.log(2)))


def test_seeds_that_disagree_are_flagged() -> None:
    from predgen.information.estimate import _judged

    joint, product = np.repeat([[0.1], [0.9]], 60, axis=1), np.zeros((2, 60))
    target = Target(np.zeros(60, dtype=np.int64), None, 2.0, "")
    found = _judged("mine", "mine", joint, product, target, 100, 3, QUICK)
    assert found.seeds == pytest.approx((0.1, 0.9))
    assert any("seeds range from 0.100 to 0.900" in flag for flag in found.flags)
    assert found.low == pytest.approx(0.1)
    assert found.high == pytest.approx(0.9)


def test_a_mean_that_rests_on_one_row_is_flagged() -> None:
    from predgen.information.estimate import _judged

    product = np.zeros((1, 60))
    product[0, 7] = 20.0  # e^20 against 59 ones
    target = Target(np.zeros(60, dtype=np.int64), None, None, "")
    found = _judged("nwj", "nwj", np.zeros((1, 60)), product, target, 100, 3, QUICK)
    assert any("rests on 1.0 held-out rows" in flag for flag in found.flags)


def test_bad_input() -> None:
    with pytest.raises(DataError, match=f"20 rows are too few .* At least {FEWEST_ROWS}"):
        split_held_out(20, QUICK)
    with pytest.raises(DataError, match="All 3 targets are 'a'"):
        discrete_target(["a", "a", "a"])
    with pytest.raises(DataError, match="All 4 targets are 2"):
        continuous_target([2.0] * 4, np.arange(4))
    a, y, _ = gaussians(0.5, 1, FEWEST_ROWS)
    a[3] = np.nan
    with pytest.raises(DataError, match="not finite"):
        read(a, numbers(y))
    with pytest.raises(ConfigError, match="did you mean 'mine'"):
        read(a, numbers(y), "mines")
