from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from predgen.errors import ConfigError
from predgen.reproduce import grid, launch
from predgen.reproduce.cell import Cell, cells_of, digest_of
from predgen.reproduce.experiments import EXPERIMENTS
from predgen.reproduce.ledger import Ledger
from predgen.reproduce.scales import SCALES


class Remote:
    """What `ray.remote` makes of a function, run at once."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def remote(self, *arguments: Any) -> Any:
        return self.function(*arguments)


def test_ray_is_asked_for_by_name_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs Ray, which is not installed\..*--shard"):
        launch.find_launcher("ray")
    assert launch.find_launcher("here") is None


def test_ray_runs_each_cell_and_their_outcomes_come_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Against a stand-in that has the few functions of Ray which are used."""

    def run(cell: Cell, *others: object) -> dict[str, Any]:
        if cell.seed == 1:
            raise ValueError("no luck")
        return {"cell": cell.facts(), "digest": digest_of(cell)}

    ray = SimpleNamespace(
        init=lambda **options: None,
        cluster_resources=lambda: {"GPU": 2},
        remote=lambda **options: Remote,
        wait=lambda tasks, num_returns: (tasks[:1], tasks[1:]),
        get=lambda task: task,
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(grid, "run_cell", run)
    cells = cells_of(EXPERIMENTS["table2"], SCALES["smoke"], tasks=["lcp"], methods=["generator"], seeds=range(3))
    said: list[str] = []
    outcome = launch.run_with_ray(cells, Ledger(tmp_path), said.append, False, None, False)
    assert outcome.finished == [cells[0].id, cells[2].id] and list(outcome.failed) == [cells[1].id]
    assert said[-1].startswith("3 of 3 cells") and len(Ledger(tmp_path).results()) == 2
