from __future__ import annotations

import math
import random

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from predgen.answers.infer import fixed_settings, infer_space
from predgen.answers.log_grid import LogGrid
from predgen.answers.spaces import space_from_json
from predgen.answers.trie import build_trie
from predgen.config import SpaceConfig
from predgen.data.tokens import decode
from predgen.errors import AnswerError

GRIDS = [
    LogGrid(1, 990_000, 1, 2),
    LogGrid(0, 99, 0.01, 2),
    LogGrid(-5000, 20_000, 0.3, 1),
    LogGrid(2.5e-7, 1.25e3, 2.5e-7, 3),
]


def every_number(grid: LogGrid) -> list[float]:
    """All numbers of so many significant digits within the bounds, by counting."""
    numbers = {0.0} if grid.low <= 0 else set()
    for exponent in range(-10, 10):
        for mantissa in range(10 ** (grid.digits - 1), 10**grid.digits):
            magnitude = float(f"{mantissa}e{exponent - grid.digits + 1}")
            for value in (magnitude, -magnitude):
                if grid.low <= value <= grid.high and magnitude >= grid.smallest:
                    numbers.add(value)
    return sorted(numbers)


@pytest.mark.parametrize("grid", GRIDS)
def test_it_holds_every_number_within_its_bounds_once(grid: LogGrid) -> None:
    assert grid.numbers.tolist() == every_number(grid)
    assert len(grid) == len(grid.numbers) == len(set(grid.texts))


@pytest.mark.parametrize("grid", GRIDS)
def test_value_text_and_index_go_round(grid: LogGrid) -> None:
    for index, (value, text) in enumerate(zip(grid.values, grid.texts, strict=True)):
        assert grid.index(value) == index
        assert grid.parse(f" {text} ") == index
    assert space_from_json(grid.to_json()) == grid


@pytest.mark.parametrize("grid", GRIDS)
def test_targets_go_to_the_nearest_number(grid: LogGrid) -> None:
    chance, numbers = random.Random(0), np.array(grid.values)
    for _ in range(500):
        low = math.log(grid.smallest / 3 if grid.low <= 0 else grid.smallest)
        value = math.exp(chance.uniform(low, math.log(grid.high)))
        value *= chance.choice([1, -1]) if value <= -grid.low else 1
        distance = np.abs(numbers - value)
        assert distance[grid.index(value)] == pytest.approx(distance.min(), rel=1e-9)


def test_how_numbers_are_written() -> None:
    grid = LogGrid(-9.99e3, 9.99e3, 0.01, 3)
    written = {value: grid.text(grid.index(value)) for value in (-1250, 0, 1250, 0.05)}
    assert written == {-1250: "-e+3 1.25", 0: "+0", 1250: "+e+3 1.25", 0.05: "+e-2 5.00"}
    plain = LogGrid(0, 9e6, 1, 1)
    assert [plain.text(plain.index(value)) for value in (0, 7, 5e6)] == ["0", "e0 7", "e6 5"]


@pytest.mark.parametrize("text", ["", "1250", "e3 1.250", "e3  1.25", "e03 1.25", "+e3 1.25", "e9 1.25", "nan"])
def test_other_texts_are_none(text: str) -> None:
    assert LogGrid(1, 9.99e6, 1, 3).parse(text) is None


def test_errors_in_front_cost_more() -> None:
    grid = LogGrid(-990, 990, 0.1, 2)
    #                                           +    e    +    2    _    1    .    5
    assert grid.character_weights(grid.index(150)) == [4.0, 3.0, 3.0, 3.0, 2.0, 2.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 10, 1, 7), "1 to 6"),
        ((1, math.inf, 1, 2), "finite"),
        ((5, 5, 5, 2), "empty"),
        ((-5, -1, 1, 2), "empty"),
        ((1, 1.23, 1, 2), "more than 2 significant digits"),
        ((1, 10, 2, 2), "smallest magnitude 2"),
        ((1e-9, 9.99999e9, 1e-9, 6), "points"),
    ],
)
def test_grids_that_make_no_sense_are_refused(arguments: tuple[float, float, float, int], message: str) -> None:
    with pytest.raises(AnswerError, match=message):
        LogGrid(*arguments)


@pytest.mark.parametrize("value", [0.5, -1, 1e9, math.nan, "many", None])
def test_targets_outside_are_refused(value: object) -> None:
    with pytest.raises(AnswerError):
        LogGrid(1, 9.9e6, 1, 2).index(value)


def test_tokenizers_write_it(tokenizer: PreTrainedTokenizerFast) -> None:
    grid = GRIDS[2]
    trie = build_trie(grid, tokenizer, "\nAnswer:")
    assert [decode(tokenizer, ids).strip() for ids in trie.answers] == list(grid.texts)


@pytest.mark.parametrize(
    ("targets", "settings", "grid"),
    [
        ([3.0, 250_000.0], {}, LogGrid(1, 990_000, 1, 2)),
        ([0.0, 0.02, 250_000.0], {"digits": 1}, LogGrid(0, 900_000, 0.01, 1)),
        ([-40.0, 0.5, 7000.0], {}, LogGrid(-90, 9000, 0.1, 1)),
        ([3.0, 9.0], {"low": 2.0, "high": 50.0, "digits": 2}, LogGrid(2, 50, 2, 2)),
        ([1.23456, 9.0], {"strict": True}, LogGrid(1, 9.99999, 1, 6)),
    ],
)
def test_it_is_inferred_from_the_targets(targets: list[float], settings: dict[str, object], grid: LogGrid) -> None:
    space, reason = infer_space(targets, "regression", SpaceConfig(scale="log", **settings))
    assert space == grid
    assert "significant digits" in reason
    again = SpaceConfig(**fixed_settings(space))
    assert infer_space(targets, "regression", again)[0] == grid


def test_it_is_refused_for_what_it_is_not() -> None:
    with pytest.raises(AnswerError, match="above 0"):
        infer_space([-3.0, -4.0], "regression", SpaceConfig(scale="log"))
    with pytest.raises(AnswerError, match="numbers that are listed"):
        infer_space([3.0, 4.0], "regression", SpaceConfig(scale="log", kind="free"))
    with pytest.raises(AnswerError, match=r"space\.smallest"):
        infer_space([0.0, 0.0], "regression", SpaceConfig(scale="log", low=0, high=9))
    zeros = SpaceConfig(scale="log", low=0, high=9, smallest=1)
    assert infer_space([0.0, 0.0], "regression", zeros)[0] == LogGrid(0, 9, 1, 1)
