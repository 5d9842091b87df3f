from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from predgen.cli import app
from predgen.errors import Interrupted, ModelError, PredgenError
from predgen.reproduce import grid
from predgen.reproduce.cell import Cell, cells_of, digest_of
from predgen.reproduce.experiments import EXPERIMENTS
from predgen.reproduce.grid import run_grid
from predgen.reproduce.ledger import Ledger
from predgen.reproduce.report import write_tables
from predgen.reproduce.scales import SCALES

SMOKE = ["table2", "--scale", "smoke", "--tasks", "lcp"]


def call(*arguments: object) -> Any:
    result = CliRunner().invoke(app, ["reproduce", *map(str, arguments)])
    if isinstance(result.exception, PredgenError):
        raise result.exception
    return result


def some_cells(count: int = 3) -> list[Cell]:
    return cells_of(EXPERIMENTS["table2"], SCALES["smoke"], tasks=["stsb"], methods=["predictor"], seeds=range(count))


def quiet(line: str) -> None:
    pass


class Fake:
    """Stands in for fitting: counts, and fails where it is told to."""

    def __init__(self) -> None:
        self.ran = list[str]()
        self.raises = dict[str, BaseException]()

    def __call__(self, cell: Cell, *others: object) -> dict[str, Any]:
        self.ran.append(cell.id)
        if cell.id in self.raises:
            raise self.raises[cell.id]
        return {"cell": cell.facts(), "digest": digest_of(cell)}


class InBetween:
    """Does something once, right before a file is put in its place, as another process might."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> None:
        honest = Path.replace

        def replace(path: Path, target: Path) -> Path:
            if not self.done:
                self.done = True
                what()
            return honest(path, target)

        self.done = False
        monkeypatch.setattr(Path, "replace", replace)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(grid, "run_cell", made)
    return made


def test_a_finished_cell_never_runs_again(fake: Fake, tmp_path: Path) -> None:
    cells, ledger = some_cells(), Ledger(tmp_path)
    assert run_grid(cells[:2], ledger, quiet).finished == [cell.id for cell in cells[:2]]
    outcome = run_grid(cells, ledger, quiet)
    assert (len(outcome.finished), len(outcome.before)) == (1, 2)
    assert fake.ran == [cell.id for cell in cells]
    assert [ledger.state(cell.id) for cell in cells] == ["finished"] * 3


def test_a_cell_that_was_made_with_other_settings_is_named(fake: Fake, tmp_path: Path) -> None:
    cells, ledger = some_cells(2), Ledger(tmp_path)
    ledger.keep(cells[0].id, {"cell": cells[0].facts(), "digest": "of other days"})
    outcome = run_grid(cells, ledger, quiet)
    assert outcome.stale == [cells[0].id] and fake.ran == [cells[1].id]
    assert "1 of these made with other settings" in outcome.line()


def test_a_cell_without_some_of_the_rates_is_named_and_tries_them_when_asked(fake: Fake, tmp_path: Path) -> None:
    (cell,), ledger = some_cells(1), Ledger(tmp_path)
    ledger.keep(cell.id, {"cell": cell.facts(), "digest": digest_of(cell), "rates": [{"learning_rate": 4e-4}]})
    outcome = run_grid([cell], ledger, quiet)
    assert (outcome.before, outcome.fewer, fake.ran) == ([cell.id], [cell.id], [])
    assert "1 of these without some of today's learning rates" in outcome.line()
    assert run_grid([cell], ledger, quiet, more_rates=True).finished == [cell.id] and fake.ran == [cell.id]


def test_more_rates_leave_a_cell_of_other_settings_alone(fake: Fake, tmp_path: Path) -> None:
    (cell,), ledger = some_cells(1), Ledger(tmp_path)
    ledger.keep(cell.id, {"cell": cell.facts(), "digest": "of other days", "rates": []})
    assert run_grid([cell], ledger, quiet, more_rates=True).stale == [cell.id] and not fake.ran


@pytest.mark.parametrize("earlier_is_better", [True, False])
def test_more_rates_keep_the_runs_that_were_fitted_and_score_only_a_better_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier_is_better: bool
) -> None:
    """The earlier run's dev value is made better or worse than any run's, so that the choice is known."""
    (cell,), whole, part = some_cells(1), Ledger(tmp_path / "whole"), Ledger(tmp_path / "part")
    run_grid([cell], part, quiet)
    record = part.result(cell.id)
    assert record["rates"][0]["metric"] == "pearson"
    record["rates"][0]["value"] = 1.0 if earlier_is_better else -1.0
    part.keep(cell.id, record)
    shutil.rmtree(part.out / "runs")  # another machine's
    monkeypatch.setitem(SCALES, "smoke", replace(SCALES["smoke"], rates=(0.01, 0.03)))
    run_grid([cell], whole, quiet)
    assert run_grid([cell], part, quiet, more_rates=True).finished == [cell.id]
    assert [folder.name for folder in (part.out / "runs" / cell.id).iterdir()] == ["rate-0.03"]
    found, fresh = part.result(cell.id), whole.result(cell.id)
    assert found["rates"][0] == record["rates"][0]
    assert found["rates"][1] == {**fresh["rates"][1], "seconds": found["rates"][1]["seconds"]}
    assert found["digest"] == fresh["digest"] and found["seconds"] > record["seconds"]
    if earlier_is_better:
        assert all(found[name] == record[name] for name in ("chosen", "dev", "reports", "settings", "resamples"))
    else:
        assert found["chosen"] == 0.03 and found["settings"]["train"]["learning_rate"] == 0.03
    assert not run_grid([cell], part, quiet, more_rates=True).finished


def test_a_failed_cell_stops_no_other_and_is_tried_again_on_request(fake: Fake, tmp_path: Path) -> None:
    cells, ledger = some_cells(), Ledger(tmp_path)
    fake.raises[cells[1].id] = ValueError("out of luck")
    outcome = run_grid(cells, ledger, quiet)
    assert len(outcome.finished) == 2 and outcome.failed == {cells[1].id: "ValueError: out of luck"}
    assert ledger.state(cells[1].id) == "failed"
    kept = ledger.failure(cells[1].id)
    assert kept["error"] == "ValueError" and any("out of luck" in line for line in kept["trace"])
    again = run_grid(cells, ledger, quiet)
    assert again.failed == {cells[1].id: "out of luck"} and len(fake.ran) == 3
    fake.raises.clear()
    assert run_grid(cells, ledger, quiet, retry=True).finished == [cells[1].id]
    assert ledger.state(cells[1].id) == "finished" and not ledger.failed(cells[1].id)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), Interrupted("stopped")])
def test_an_interrupted_grid_loses_nothing_and_goes_on(fake: Fake, tmp_path: Path, stop: BaseException) -> None:
    cells, ledger = some_cells(), Ledger(tmp_path)
    fake.raises[cells[1].id] = stop
    with pytest.raises(Interrupted, match=r"1 cells were finished.*goes on"):
        run_grid(cells, ledger, quiet)
    assert [ledger.state(cell.id) for cell in cells] == ["finished", "to do", "to do"]
    fake.raises.clear()
    assert run_grid(cells, ledger, quiet).finished == [cell.id for cell in cells[1:]]


def test_a_model_too_large_is_no_failure_of_the_cell(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, ledger = some_cells(1), Ledger(tmp_path)

    def refuse(cell: Cell, available: int, of: str) -> None:
        raise ModelError("needs about 30 GiB")

    monkeypatch.setattr(grid, "check_memory", refuse)
    outcome = run_grid(cells, ledger, quiet)
    assert outcome.too_large == {cells[0].id: "needs about 30 GiB"} and not fake.ran and not outcome.whole()
    assert ledger.state(cells[0].id) == "to do"


def test_the_claim_of_a_process_that_was_killed_is_free(fake: Fake, tmp_path: Path) -> None:
    cells, ledger = some_cells(1), Ledger(tmp_path)
    script = (
        "import sys, time; from pathlib import Path; from predgen.reproduce.ledger import Ledger\n"
        "with Ledger(Path(sys.argv[1])).claim(sys.argv[2]) as mine:\n"
        "    print(mine, flush=True); time.sleep(600)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), cells[0].id], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline().strip() == "True"
        assert ledger.state(cells[0].id) == "running"
        assert run_grid(cells, ledger, quiet).elsewhere == [cells[0].id] and not fake.ran
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()  # type: ignore[union-attr]
    assert run_grid(cells, ledger, quiet).finished == [cells[0].id]


def test_two_processes_neither_lose_nor_double_a_cell(tmp_path: Path) -> None:
    script = (
        "import json, sys; from pathlib import Path\n"
        "from predgen.reproduce.cell import cells_of\n"
        "from predgen.reproduce.experiments import EXPERIMENTS\n"
        "from predgen.reproduce.grid import run_grid\n"
        "from predgen.reproduce.ledger import Ledger\n"
        "from predgen.reproduce.scales import SCALES\n"
        "own = dict(tasks=['lcp'], methods=['predictor'], seeds=range(4))\n"
        "cells = cells_of(EXPERIMENTS['table2'], SCALES['smoke'], **own)\n"
        "outcome = run_grid(cells, Ledger(Path(sys.argv[1])), lambda line: None)\n"
        "print('OUTCOME', json.dumps([outcome.finished, outcome.before, outcome.elsewhere, outcome.failed]))\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[0] for process in both]
    outcomes = [json.loads(text.split("OUTCOME ")[1]) for text in said]
    finished = [cell for outcome in outcomes for cell in outcome[0]]
    assert len(finished) == len(set(finished)) == 4  # each fitted once, by one of them
    assert all(not outcome[3] and sum(map(len, outcome[:3])) == 4 for outcome in outcomes)
    assert len(Ledger(tmp_path).results()) == 4
    models = list((tmp_path / "models").iterdir())
    assert [model.name for model in models] == ["tiny"]


def test_the_command_fits_scores_and_writes_tables(tmp_path: Path) -> None:
    arguments = [*SMOKE, "--methods", "predictor,predgen", "--out", tmp_path / "o", "--cells", tmp_path / "cells"]
    result = call(*arguments)
    assert "Cells: 2 finished now." in result.output
    records = Ledger(tmp_path, tmp_path / "cells").results()
    assert len(records) == 2 and list((tmp_path / "o" / "runs").iterdir())
    for record in records:
        assert list(record["reports"]) == ["lcp/test", "lcp/validation"]
        assert [report["selected_on"] for report in record["reports"].values()] == [False, True]
        assert list(record["resamples"]["values"]) == ["lcp/test"]
        assert str(tmp_path) not in json.dumps(record)  # nothing of the machine goes into what is committed
        assert record["chosen"] == 0.01 and record["rows"] == {"train": 16, "dev": 8}
    page = (tmp_path / "o" / "tables" / "table2.md").read_text()
    assert "| ours | PredGen | tiny | lora |" in page and "| paper, Table 2 | PredGen | Llama2-7B | lora |" in page
    assert "0.930†" in page and "as MAE/MSE, 0.105 is below" in page
    assert "data:image/png;base64," in (tmp_path / "o" / "tables" / "table2.html").read_text()
    assert call(*arguments).output.startswith("Cells: 2 finished before.")
    assert "2 cells, 0 to do" in call(*arguments, "--dry-run").output


def test_a_dry_run_counts_the_rates_that_finished_cells_have_not_tried(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*SMOKE, "--methods", "predictor", "--out", tmp_path]
    cells = cells_of(EXPERIMENTS["table2"], SCALES["smoke"], tasks=["lcp"], methods=["predictor"])
    tried = {"rates": [{"learning_rate": 0.01}], "seconds": 8.0}
    Ledger(tmp_path).keep(cells[0].id, {"cell": cells[0].facts(), "digest": digest_of(cells[0]), **tried})
    assert "1 cells, 0 to do" in call(*arguments, "--dry-run", "--more-rates").output
    monkeypatch.setitem(SCALES, "smoke", replace(SCALES["smoke"], rates=(0.01, 0.03)))
    assert "1 cells, 0 to do" in call(*arguments, "--dry-run").output
    result = call(*arguments, "--dry-run", "--more-rates").output
    assert "1 cells, 1 to do" in result and "finished, more rates" in " ".join(result.split())


def test_bad_input_is_named_before_anything_runs(tmp_path: Path) -> None:
    for arguments, words in (
        (["table3"], "Known: fig4, fig5, fig6, table1, table2, table5"),
        ([*SMOKE, "--seeds", "a"], "no whole numbers"),
        ([*SMOKE, "--scale", "huge"], "Known: cpu, gpu, paper, smoke"),
        ([*SMOKE, "--launcher", "slurm"], "Known: here, ray"),
    ):
        with pytest.raises(PredgenError, match=words):
            call(*arguments, "--out", tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_two_grids_may_keep_the_same_cell_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (Ledger(tmp_path / name, tmp_path / "cells") for name in ("one", "other"))
    between = InBetween(monkeypatch, lambda: other.keep("a", {"by": "other"}))
    one.keep("a", {"by": "one"})
    assert between.done and one.result("a")["by"] == "one"
    assert [path.name for path in one.cells.iterdir()] == ["a.json"]


def test_two_processes_may_write_the_tables_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Callable[..., dict[str, Any]]
) -> None:
    ledger = Ledger(tmp_path)
    ledger.keep("a", record())
    between = InBetween(monkeypatch, lambda: write_tables([EXPERIMENTS["table2"]], ledger))
    assert len(write_tables([EXPERIMENTS["table2"]], ledger)) == 4
    assert between.done and len(list((tmp_path / "tables").iterdir())) == 4
