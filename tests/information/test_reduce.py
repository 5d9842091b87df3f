from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from predgen.information.reduce import principal_components

ROWS = 300


def parts_of(states: np.ndarray, real: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(states), 50):
        yield states[start : start + 50], real[start : start + 50]


def test_components_come_from_the_fitting_rows_alone_and_missing_states_are_the_mean() -> None:
    draw = np.random.default_rng(0)
    states = draw.normal(size=(ROWS, 6)) * [5, 1, 1, 1, 1, 1]
    real = np.arange(ROWS) % 7 > 0
    fit_rows = np.arange(200)
    states[200:, 3] *= 100  # rows that must not shape the components
    found = principal_components(lambda: parts_of(states, real), ROWS, fit_rows, 2)
    kept = states[fit_rows][real[fit_rows]]
    centred = kept - kept.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    first = (states - kept.mean(axis=0)) @ vectors[:, np.argmax(values)]
    np.testing.assert_allclose(np.abs(found[real, 0]), np.abs(first[real]), atol=1e-8)
    assert not found[~real].any()


def test_part_by_part_it_is_nearly_the_same() -> None:
    draw = np.random.default_rng(1)
    states, real = draw.normal(size=(ROWS, 4)) * [9, 3, 1, 0.1], np.ones(ROWS, dtype=bool)
    whole = principal_components(lambda: parts_of(states, real), ROWS, np.arange(240), 2)
    by_part = principal_components(lambda: parts_of(states, real), ROWS, np.arange(240), 2, at_once=1)
    np.testing.assert_allclose(np.abs(by_part), np.abs(whole), atol=0.3)


@pytest.mark.parametrize("at_once", [10**9, 1])
def test_there_are_no_more_components_than_rows_that_have_a_state(at_once: int) -> None:
    states, fit_rows = np.random.default_rng(2).normal(size=(ROWS, 4)), np.arange(200)
    for having in (0, 1, 2):
        real = np.arange(ROWS) < having
        found = principal_components(lambda real=real: parts_of(states, real), ROWS, fit_rows, 3, at_once)
        assert found.shape == (ROWS, having if having > 1 else 0) and not found[~real].any()
    alike = np.ones((ROWS, 4))
    found = principal_components(lambda: parts_of(alike, np.ones(ROWS, dtype=bool)), ROWS, fit_rows, 3, at_once)
    assert found.shape == (ROWS, 0)
