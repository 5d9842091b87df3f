"""Executes the notebooks in place: `make notebooks`. What they show is kept, but for what does not belong here.

Warnings name folders of this machine, and rows of a data set are its owners' to publish: cells that show some say so in
their metadata (``"keep_output": false``).
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent


def kept(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without warnings and rows."""
    for cell in book.cells:
        if cell.cell_type != "code":
            continue
        shown = cell.outputs if cell.metadata.get("keep_output", True) else []
        cell.outputs = [output for output in shown if output.get("name") != "stderr"]
    return book


def main() -> None:
    """Runs all of them; some minutes each on one core."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        print(path.name, flush=True)
        book = nbformat.read(path, as_version=4)
        NotebookClient(book, timeout=3600, kernel_name="python3", record_timing=False).execute()
        nbformat.write(kept(book), path)


if __name__ == "__main__":
    main()
