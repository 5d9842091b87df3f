"""What the benchmarks share: times in shuffled rounds, and files that a stopped run goes on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch

Load = Callable[[str], ModuleType]


def test_every_system_takes_its_turn_and_the_first_round_is_not_counted(benchmark_module: Load) -> None:
    rounds = benchmark_module("rounds")
    order: list[str] = []
    systems = {name: lambda name=name: order.append(name) or len(order) for name in "abcd"}
    timed = rounds.shuffled_rounds(systems, 5, fewer={"d": 2})
    turns = {name: order.count(name) for name in "abcd"}
    assert turns == {"a": 6, "b": 6, "c": 6, "d": 3}
    assert {name: len(each.clock) for name, each in timed.items()} == {"a": 5, "b": 5, "c": 5, "d": 2}
    assert len({tuple(order[start : start + 4]) for start in range(0, 12, 4)}) > 1  # not one order throughout
    assert len(rounds.shuffled_rounds(systems, 3, warm=True)["a"].clock) == 3


def test_ratios_are_of_medians(benchmark_module: Load) -> None:
    rounds = benchmark_module("rounds")
    mine, other = rounds.Timed([1.0, 3.0, 9.0], [4.0, 4.0, 4.0]), rounds.Timed([2.0, 2.0, 2.0], [1.0, 2.0, 8.0])
    assert mine.over(other) == {"ratio": 1.5, "processor_ratio": 2.0}
    assert (mine.spread()["min_s"], mine.spread()["median_s"], mine.spread()["max_s"]) == (1.0, 3.0, 9.0)


def test_records_are_kept_under_the_same_settings_alone(benchmark_module: Load, tmp_path: Path) -> None:
    records = benchmark_module("records")
    path = tmp_path / "new" / "found.json"
    records.write_records(path, {"threads": 2}, [{"case": "a"}])
    assert records.kept_records(path, {"threads": 2}) == [{"case": "a"}]
    assert records.kept_records(path, {"threads": 1}) == []
    assert records.kept_records(None, {}) == records.kept_records(tmp_path / "none.json", {}) == []


def test_operations_of_products_and_attention_are_counted_in_both_directions(benchmark_module: Load) -> None:
    matmul = benchmark_module("matmul")
    left, right = torch.ones(3, 5, requires_grad=True), torch.ones(5, 7)
    count, _ = matmul.count_operations(lambda: (left @ right).sum())
    assert count == 2 * 3 * 5 * 7
    query, key, value = (torch.randn(2, 4, 16, 8, requires_grad=True) for _ in range(3))

    def attend() -> torch.Tensor:
        loss = torch.nn.functional.scaled_dot_product_attention(query, key, value).sum()
        loss.backward()
        return loss

    # Forward QKᵀ and AV; backward scores anew and the gradients of A, V, Q and K: seven products of 16 × 16 × 8.
    assert matmul.count_operations(attend)[0] == 7 * 2 * (2 * 4 * 16 * 16 * 8)
