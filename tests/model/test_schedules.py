from __future__ import annotations

import math

import pytest

from predgen.model.schedules import build_schedule

NAMES = ("linear", "constant", "inverse_sigmoid", "exponential")


def test_linear_by_hand() -> None:
    schedule = build_schedule("linear", start=0.2, end=1.0, steps=4)
    assert [schedule(step) for step in (0, 1, 4, 9)] == pytest.approx([0.2, 0.4, 1.0, 1.0])


def test_constant_is_the_end_from_the_first_step_on() -> None:
    schedule = build_schedule("constant", start=0.0, end=0.3, steps=10)
    assert [schedule(step) for step in (0, 5, 99)] == [0.3] * 3


def test_exponential_by_hand() -> None:
    # 1 − k^s with k^10 = 1%: after 5 steps 10% of the way is left
    schedule = build_schedule("exponential", start=0.0, end=1.0, steps=10)
    assert [schedule(step) for step in (0, 5, 10)] == pytest.approx([0.0, 0.9, 0.99])


def test_inverse_sigmoid_as_bengio_writes_it() -> None:
    # Half of the way at steps / 2 = k ln k; k = e² gives 2e²
    k = math.e**2
    schedule = build_schedule("inverse_sigmoid", start=0.0, end=1.0, steps=4 * k)
    for step in (0.0, 3.0, 2 * k, 40.0):
        assert schedule(step) == pytest.approx(1 - k / (k + math.exp(step / k)))
    assert schedule(2 * k) == pytest.approx(0.5)


@pytest.mark.parametrize("name", NAMES)
def test_every_schedule_climbs_within_its_ends(name: str) -> None:
    schedule = build_schedule(name, start=0.1, end=0.8, steps=20)
    values = [schedule(step) for step in range(0, 5000, 5)]
    assert values == sorted(values)
    assert values[0] >= 0.1 and values[-1] == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_may_fall(name: str) -> None:
    schedule = build_schedule(name, start=1.0, end=0.0, steps=20)
    assert schedule(0) >= schedule(10) >= schedule(400) == pytest.approx(0.0, abs=1e-6)
