"""The tables of `docs/results.md`, from the cells that are committed beside it: `make results`.

The text above a line of the page is written by hand, all below it from the cells: a grid that grows needs no copying.
"""

from __future__ import annotations

import sys
from pathlib import Path

from predgen.errors import RunFolderError
from predgen.reproduce.averages import averages_of
from predgen.reproduce.blocks import blocks_of
from predgen.reproduce.experiments import EXPERIMENTS
from predgen.reproduce.ledger import Ledger
from predgen.reproduce.tables import LEGEND, sections
from predgen.training.run_folder import write_text

LINE = "<!-- Written by `make results` from here on. -->"


def results_page(text: str, ledger: Ledger) -> str:
    """A page with its tables written anew.

    Args:
        text: The page; what follows `LINE` is replaced.
        ledger: Whose finished cells.

    Raises:
        RunFolderError: If the page has no such line.
    """
    by_hand, line, _ = text.partition(LINE)
    if not line:
        raise RunFolderError(f"The page has no line {LINE!r}.", remedy="Put it where the tables begin.")
    records = ledger.results()
    lines = [by_hand + LINE, "", LEGEND]
    for experiment in EXPERIMENTS.values():
        if blocks := blocks_of(experiment, records):
            lines += ["", f"## {experiment.title}", *sections(blocks, averages_of(experiment, records), level=3)]
    return "\n".join(lines) + "\n"


def write_results_page(path: Path, cells: Path) -> None:
    """Replaces a page's tables.

    Args:
        path: The page.
        cells: The folder of finished cells.
    """
    write_text(path, results_page(path.read_text(encoding="utf-8"), Ledger(path.parent, cells)))


if __name__ == "__main__":
    write_results_page(Path(sys.argv[1]), Path(sys.argv[2]))
