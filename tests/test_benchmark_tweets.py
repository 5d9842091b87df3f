"""The README's table: which run of several rates is reported, and that runs of two processes are all kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

Load = Callable[[str], ModuleType]


def _run(method: str, seed: int, rate: float, dev: float, mean: float, greedy: float, chosen: str) -> dict[str, Any]:
    decisions = {
        name: {"mae": mae, "mse": mae**2, "pearson": 1 - mae} for name, mae in (("mean", mean), ("greedy", greedy))
    }
    test = {"decision": chosen, "decisions": decisions, "interval": {"coverage": 0.9}}
    return {"method": method, "seed": seed, "rate": rate, "dev": {"value": dev}, "test": test}


def test_the_rate_is_chosen_on_dev_with_each_seed_and_never_on_test(benchmark_module: Load) -> None:
    lines = benchmark_module("tweets").table(
        [
            _run("predgen", 0, 1e-3, dev=0.5, mean=0.1, greedy=0.1, chosen="mean"),  # better on test, not on dev
            _run("predgen", 0, 6e-3, dev=0.4, mean=0.6, greedy=0.8, chosen="mean"),
            _run("predgen", 1, 1e-3, dev=0.3, mean=0.5, greedy=0.4, chosen="greedy"),
            _run("predgen", 1, 6e-3, dev=0.6, mean=0.1, greedy=0.1, chosen="mean"),
        ]
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines.splitlines()[2:]]
    assert [row[:4] for row in rows] == [
        ["predgen", "0.006, 0.001", "chosen on dev: mean, greedy", "0.500 ± 0.100"],
        ["predgen", "0.006, 0.001", "mean", "0.550 ± 0.050"],
        ["predgen", "0.006, 0.001", "greedy", "0.600 ± 0.200"],
    ]
    assert rows[0][-1] == "2"


def test_a_run_is_added_to_those_that_another_process_has_kept(benchmark_module: Load, tmp_path: Path) -> None:
    tweets = benchmark_module("tweets")
    for rate in (6e-3, 1e-3):
        tweets.keep(_run("predictor", 0, rate, 0.5, 0.5, 0.5, "mean"), tmp_path / "tweets.json")
    kept = tweets.kept_records(tmp_path / "tweets.json", tweets.SETTINGS)
    assert [run["rate"] for run in kept] == [1e-3, 6e-3]
    assert "| predictor | 0.001 |" in (tmp_path / "tweets.md").read_text()
