"""Where cells run: in this process, or spread over machines by Ray."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from predgen.errors import ConfigError, nearest
from predgen.reproduce.cell import Cell
from predgen.reproduce.grid import Outcome, Say, run_grid
from predgen.reproduce.ledger import Ledger

Launch = Callable[[Sequence[Cell], Ledger, Say, bool, str | None, bool], Outcome]


def find_launcher(name: str) -> Launch | None:
    """A launcher by name; None for this process.

    Raises:
        ConfigError: If there is none of that name, or what it needs is not installed.
    """
    if name == "here":
        return None
    if name != "ray":
        raise ConfigError(f"Unknown launcher {name!r}:", nearest(name, ("here", "ray")))
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(
            "--launcher ray needs Ray, which is not installed.",
            remedy="pip install 'ray[default]', or start the command on each machine with --shard 1/n, 2/n, …",
        )
    return run_with_ray


def run_with_ray(
    cells: Sequence[Cell], ledger: Ledger, say: Say, retry: bool, root: str | None, more_rates: bool
) -> Outcome:
    """Each cell as a task of its own, on whatever machine Ray finds for it; a GPU each, where the cluster has some.

    The folders must be on a file system that all machines share: the ledger is there, so that cells are claimed, kept
    and gone on with as they are in one process.

    Args:
        cells: As `run_grid` takes them.
        ledger: Likewise.
        say: Likewise; the cells' own lines go to Ray's logs.
        retry: Likewise.
        root: Likewise.
        more_rates: Likewise.
    """
    import ray

    ray.init(ignore_reinit_error=True)
    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    task = ray.remote(num_gpus=gpus, num_cpus=1, max_retries=0)(_run_there)
    where = (str(ledger.out.resolve()), str(ledger.cells.resolve()))
    waiting = [task.remote(cell, *where, retry, root, more_rates) for cell in cells]
    whole = Outcome()
    while waiting:
        done, waiting = ray.wait(waiting, num_returns=1)
        one: Outcome = ray.get(done[0])
        whole.finished += one.finished
        whole.before += one.before
        whole.stale += one.stale
        whole.fewer += one.fewer
        whole.elsewhere += one.elsewhere
        whole.failed |= one.failed
        whole.too_large |= one.too_large
        say(f"{len(cells) - len(waiting)} of {len(cells)} cells: {one.line()}")
    return whole


def _run_there(cell: Cell, out: str, cells: str, retry: bool, root: str | None, more_rates: bool) -> Outcome:
    return run_grid([cell], Ledger(Path(out), Path(cells)), print, retry, root, more_rates)
