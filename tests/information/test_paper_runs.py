from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from predgen.config_reading import load_config
from predgen.data.tasks import TASKS
from predgen.errors import DataError
from predgen.information import paper_runs
from predgen.information.measure import MeasureSettings
from predgen.information.one_answer import OneAnswer, one_answer
from predgen.information.paper_figures import Workshop, draw_paper_figure
from predgen.information.paper_runs import PaperData, demo_config, read_paper_data
from predgen.loading import load_single

ROOT = Path(__file__).parents[2]


def load(folder: Path) -> OneAnswer:
    return one_answer(load_single(folder), None)


@contextmanager
def silent(unit: str, total: int) -> Iterator[Callable[[int], None]]:
    yield lambda rows: None


def mirror(root: Path, name: str, rows: list[dict[str, object]]) -> None:
    for split in ("train", "validation"):
        file = root / name / f"{split}.jsonl.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))


def test_the_demo_settings_are_those_of_the_recipe() -> None:
    recipe = load_config(ROOT / "recipes" / "demo.yaml", ["method=predgen", "out=here"])
    assert dataclasses.asdict(demo_config("vader-tweets", "predgen", Path("here"))) == dataclasses.asdict(recipe)


def test_labels_of_a_mirror_become_words(tmp_path: Path) -> None:
    mirror(tmp_path, "sst2", [{"sentence": "fine", "label": 1}, {"sentence": "dull", "label": 0}])
    table = read_paper_data("sst2", tmp_path)
    assert [row["label"] for row in table.good_rows] == ["positive", "negative"]
    mirror(tmp_path, "sst2", [{"sentence": "fine", "label": 7}])
    with pytest.raises(DataError, match="first row 0: '7'"):
        read_paper_data("sst2", tmp_path)
    with pytest.raises(DataError, match="Unknown data set"):
        read_paper_data("sst", tmp_path)


def test_a_figure_of_a_map_uses_the_run_that_is_there(
    run_folder: Callable[..., Path], shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [json.loads(line) for line in (shop / "rows.jsonl").read_text().splitlines()]
    long = {"text": "film " * 60, "label": "good"}
    mirror(tmp_path, "films", [long, *rows])
    monkeypatch.setitem(paper_runs.PAPER_DATA, "films", PaperData("films", "{text}", "\nAnswer:", "label"))
    films = dataclasses.replace(TASKS["sst2"], name="films", columns=("text", "label"))
    monkeypatch.setitem(TASKS, "films", films)
    from predgen.information import paper_figures

    monkeypatch.setitem(paper_figures.PAPER_FIGURES, "fig3", paper_figures.PaperFigure("", "films"))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "films-predgen").symlink_to(run_folder("predgen", "label"))
    said: list[str] = []
    shop_here = Workshop(tmp_path, tmp_path / "models", tmp_path / "out", load, said.append, silent)
    files, panels = draw_paper_figure("fig3", MeasureSettings(), shop_here)
    assert not panels and all(file.exists() for file in files)
    record = json.loads((tmp_path / "out" / "fig3.json").read_text())
    assert record["body"] == rows[0]["text"] and record["gold"] == rows[0]["label"]
    assert len(said) == 2 and "Faithfulness" in said[0]
