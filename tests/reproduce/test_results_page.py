from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predgen.errors import RunFolderError
from predgen.reproduce.ledger import Ledger
from predgen.reproduce.results_page import LINE, results_page, write_results_page

DOCS = Path(__file__).parents[2] / "docs"
Make = Callable[..., dict[str, Any]]


def test_the_page_is_what_its_cells_make_it() -> None:
    text = (DOCS / "results.md").read_text()
    assert results_page(text, Ledger(DOCS, DOCS / "results" / "cells")) == text, "Run `make results`."


def test_a_new_cell_is_added_and_what_is_written_by_hand_stays(record: Make, tmp_path: Path) -> None:
    page, cells = tmp_path / "page.md", tmp_path / "cells"
    cells.mkdir()
    page.write_text(f"# Mine\n\n{LINE}\nold tables\n")
    for method in ("predgen", "predictor"):
        (cells / f"{method}.json").write_text(json.dumps(record(method)))
        write_results_page(page, cells)
    text = page.read_text()
    assert text.startswith(f"# Mine\n\n{LINE}\n") and "old tables" not in text
    assert "| ours | PredGen |" in text and "| ours | Predictor (last token) |" in text
    # The headings are one level below the table's own.
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert [title.split(" ")[0] for title in titles] == ["#", "##", "###", "####"]


def test_a_page_without_the_line_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Mine\n")
    with pytest.raises(RunFolderError, match="make results"):
        write_results_page(page, tmp_path)
    assert page.read_text() == "# Mine\n"
