"""All cells of a table, one after another, beside other processes that may be at the same ones."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from predgen.errors import ConfigError, Interrupted, ModelError
from predgen.reproduce.cell import Cell, digest_of, rates_of
from predgen.reproduce.costs import check_memory
from predgen.reproduce.hardware import memory_for_models
from predgen.reproduce.ledger import Ledger
from predgen.reproduce.run_cell import run_cell

Say = Callable[[str], None]


@dataclass
class Outcome:
    """What came of a grid's cells, by their ids.

    Args:
        finished: Now.
        before: Finished already.
        stale: Those of them that were made with other settings than the grid has now.
        fewer: Those of them that have not tried all its learning rates, and were not asked to.
        elsewhere: Being done by another process.
        failed: With the error; now, or earlier and not asked to be tried again.
        too_large: With what they need.
    """

    finished: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    fewer: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    too_large: dict[str, str] = field(default_factory=dict)

    def whole(self) -> bool:
        """Whether all cells are finished."""
        return not (self.elsewhere or self.failed or self.too_large)

    def line(self) -> str:
        """For the user."""
        parts = [
            (len(self.finished), "finished now"),
            (len(self.before), "finished before"),
            (len(self.stale), "of these made with other settings than today's"),
            (len(self.fewer), "of these without some of today's learning rates"),
            (len(self.elsewhere), "being run by another process"),
            (len(self.failed), "failed"),
            (len(self.too_large), "too large for this machine"),
        ]
        return "Cells: " + ", ".join(f"{count} {what}" for count, what in parts if count) + "."


def run_grid(
    cells: Sequence[Cell],
    ledger: Ledger,
    say: Say,
    retry: bool = False,
    root: str | None = None,
    more_rates: bool = False,
) -> Outcome:
    """Runs what is not finished; a cell that fails is written down, and stops no other.

    Args:
        cells: In the order in which they are tried.
        ledger: What is done already; other processes may share it.
        say: Takes one line at a time.
        retry: Whether cells that failed earlier are tried again.
        root: A folder of data, as `data.root`.
        more_rates: Whether finished cells try the learning rates that they have not tried yet.

    Raises:
        Interrupted: If it was stopped; what is half done goes on next time.
    """
    outcome = Outcome()
    for number, cell in enumerate(cells):
        if not rates_to_try(cell, ledger, more_rates):
            outcome.before.append(cell.id)
            record = ledger.result(cell.id)
            if _is_stale(record, cell):
                outcome.stale.append(cell.id)
            elif _untried(record, cell):
                outcome.fewer.append(cell.id)
            continue
        with ledger.claim(cell.id) as mine:
            if not mine:
                outcome.elsewhere.append(cell.id)
            elif not rates_to_try(cell, ledger, more_rates):  # by another process, between the question and the claim
                outcome.before.append(cell.id)
            elif ledger.failed(cell.id) and not retry:
                outcome.failed[cell.id] = str(ledger.failure(cell.id)["message"])
            else:
                say(f"Cell {number + 1} of {len(cells)}: {cell.id}")
                _run_one(cell, ledger, outcome, say, root)
    _look_again(ledger, outcome)
    return outcome


def shard(cells: Sequence[Cell], which: str) -> list[Cell]:
    """Every n-th cell from the i-th on.

    Args:
        cells: All of them, in an order that does not depend on the machine.
        which: "i/n", i from 1 to n.

    Raises:
        ConfigError: If it is written otherwise.
    """
    part, sign, parts = which.partition("/")
    if not (sign and part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise ConfigError(f"--shard {which!r} is no part of the grid.", "Expected i/n with i from 1 to n, e.g. 2/4.")
    return list(cells[int(part) - 1 :: int(parts)])


def rates_to_try(cell: Cell, ledger: Ledger, more_rates: bool) -> list[float]:
    """The learning rates that a grid would fit a cell with; none where it is done.

    Args:
        cell: The cell.
        ledger: What is done already.
        more_rates: As `run_grid` takes it.
    """
    if not ledger.finished(cell.id):
        return list(rates_of(cell))
    record = ledger.result(cell.id)
    return _untried(record, cell) if more_rates and not _is_stale(record, cell) else []


def _untried(record: Mapping[str, Any], cell: Cell) -> list[float]:
    tried = {each["learning_rate"] for each in record.get("rates", ())}
    return [rate for rate in rates_of(cell) if rate not in tried]


def _is_stale(record: Mapping[str, Any], cell: Cell) -> bool:
    return bool(record.get("digest") != digest_of(cell))


def _run_one(cell: Cell, ledger: Ledger, outcome: Outcome, say: Say, root: str | None) -> None:
    try:
        check_memory(cell, *memory_for_models())
    except ModelError as problem:
        # It is no failure of the cell's: another machine may share these files and be large enough.
        outcome.too_large[cell.id] = str(problem)
        say(str(problem))
        return
    try:
        before = ledger.result(cell.id) if ledger.finished(cell.id) else None
        ledger.keep(cell.id, run_cell(cell, ledger, root, say, before))
    except (Interrupted, KeyboardInterrupt):
        raise Interrupted(
            f"Stopped in the cell {cell.id}; {len(outcome.finished)} cells were finished.",
            remedy="The same command goes on.",
        ) from None
    except Exception as problem:  # whatever stops one cell must not stop the others
        ledger.keep_failure(cell.id, cell.facts(), problem, traceback.format_exc())
        outcome.failed[cell.id] = f"{type(problem).__name__}: {problem}"
        say(f"Failed: {outcome.failed[cell.id]}")
    else:
        outcome.finished.append(cell.id)


def _look_again(ledger: Ledger, outcome: Outcome) -> None:
    """Cells that another process had may be finished by now."""
    done = [cell for cell in outcome.elsewhere if ledger.finished(cell)]
    outcome.elsewhere = [cell for cell in outcome.elsewhere if cell not in done]
    outcome.before += done
