"""The notebooks run from start to end, on small rows and a tiny model; what is committed of them is fit to be."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture(scope="module")
def kernel(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One kernel for all notebooks, since each imports torch; what a notebook defined is gone before the next."""
    pytest.importorskip("nbclient", reason="nbclient is not installed (extra docs).")
    from jupyter_client.manager import AsyncKernelManager
    from nbclient.util import run_sync

    folder = tmp_path_factory.mktemp("notebooks")
    lines = ["text,rating,polarity"]
    for n in range(60):
        rating = (n * 7 % 81 - 40) / 10
        good = rating >= 0
        lines.append(f"The film {n} was {'very good' if good else 'bad'},{rating},{'positive' if good else 'negative'}")
    (folder / "rows.csv").write_text("\n".join(lines))
    settings = {"DATA": folder / "rows.csv", "MODEL": tiny_base, "ROWS": 60}
    manager = AsyncKernelManager(kernel_name="python3")
    environment = {f"PREDGEN_NOTEBOOK_{name}": str(value) for name, value in settings.items()}
    run_sync(manager.start_kernel)(cwd=str(folder), env={**os.environ, **environment})
    yield manager
    run_sync(manager.shutdown_kernel)(now=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, kernel: Any) -> None:
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(path, as_version=4)
    forget = nbformat.v4.new_code_cell("%reset -f")
    book.cells.insert(0, forget)
    NotebookClient(book, km=kernel, timeout=300, startup_timeout=180).execute()
    shown = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in shown)


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["classification", "explain", "regression"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_committed_was_run_and_holds_no_rows_warnings_or_places(path: Path) -> None:
    book = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), "run: make notebooks"
    for cell in cells:
        outputs = cell["outputs"]
        assert not (outputs and cell["metadata"].get("keep_output") is False)
        assert not any(output.get("name") == "stderr" or output["output_type"] == "error" for output in outputs)
        text = json.dumps(
            [{k: v for k, v in output.get("data", output).items() if k != "image/png"} for output in outputs]
        )
        assert not re.search(r"(?<![\w.])/(home|work|tmp|root|Users)/", text)
        if ".head()" in "".join(cell["source"]) or '"text": [' in "".join(cell["source"]):
            assert cell["metadata"].get("keep_output") is False, "This cell shows rows of the data."
