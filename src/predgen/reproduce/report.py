"""All forms of a grid's tables, written from whatever cells are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from predgen.reproduce.averages import averages_of
from predgen.reproduce.blocks import blocks_of
from predgen.reproduce.experiments import Experiment
from predgen.reproduce.ledger import Ledger
from predgen.reproduce.page import page
from predgen.reproduce.tables import as_csv, latex, markdown
from predgen.training.run_folder import write_text


def write_tables(experiments: Sequence[Experiment], ledger: Ledger) -> list[Path]:
    """Writes ``<out>/tables/<experiment>.md``, ``.csv``, ``.tex`` and ``.html``.

    Args:
        experiments: Those of which there is no cell are left out.
        ledger: Whose cells.

    Returns:
        The files.
    """
    records, written = ledger.results(), list[Path]()
    for experiment in experiments:
        blocks = blocks_of(experiment, records)
        if not blocks:
            continue
        averages = averages_of(experiment, records)
        forms = {
            "md": markdown(experiment.title, blocks, averages),
            "csv": as_csv(blocks),
            "tex": latex(experiment.title, blocks, averages),
            "html": page(experiment.title, blocks, averages),
        }
        folder = ledger.out / "tables"
        folder.mkdir(parents=True, exist_ok=True)
        for ending, text in forms.items():
            path = folder / f"{experiment.name}.{ending}"
            # Another process that has come to its end may write the same tables now.
            write_text(path, text, shared=True)
            written.append(path)
    return written
