from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from predgen.cli import app
from predgen.errors import DataError, PredgenError, RunFolderError
from predgen.report.write import MOST_BYTES

KINDS = ("label", "rating", "head", "free", "record", "tags")
OF_A_FIELD = (
    "How good it is", "Reliability and coverage", "Confidence and abstaining", "Slices", "The worst errors",
    "Likely label mistakes", "Which words decided",
)  # fmt: skip
OF_THE_RUN = (
    "What was trained on what",
    "The data",
    "Learning curves",
    "Speed",
    "Environment, and how to reproduce it",
)
EMPTY = {"meta", "link", "br", "line", "rect", "circle", "polyline", "polygon"}


class Page(HTMLParser):
    """What a browser would make of it: elements, headings, texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.headings: list[str] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "srcset", "data", "action", "poster") or (name == "href" and tag != "a"):
                self.loads.append(str(value))
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("h1", "h2", "h3", "bdi") and any(h in self._open for h in ("h2", "h3")):
            self.headings.append(data)
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def report(run: Path, *options: object, out: Path) -> tuple[Page, Result]:
    arguments = ["report", run, "--resamples", 100, "--maps", 1, "--out", out, *options]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, PredgenError):
        raise result.exception
    assert result.exit_code == 0, result.output
    content = out.read_bytes()
    assert len(content) < MOST_BYTES
    return Page(content.decode("utf-8")), result


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_has_every_section_and_loads_nothing(kind: str, shop: Path, tmp_path: Path) -> None:
    page, result = report(shop / kind, "--slice", "lang", out=tmp_path / "deep" / "report.html")
    assert "opens in any browser" in result.output
    for title in OF_THE_RUN:
        assert page.headings.count(title) == 1, title
    several = {"record": 2, "tags": 3}.get(kind, 1)
    for title in OF_A_FIELD:
        assert page.headings.count(title) == several, title
    assert page.loads == ["data:,"]
    assert not {"script", "iframe", "img", "object", "embed", "form", "b", "i"} & set(page.tags)
    assert "TF-IDF + linear" in page.text and "constant: " in page.text and "by lang" in page.text
    assert "\x00" not in page.text and "\u202e" not in page.text
    assert "long " * 200 not in page.text


def test_labels_are_judged_in_all_ways(shop: Path, tmp_path: Path) -> None:
    page, _ = report(shop / "label", out=tmp_path / "r.html")
    for words in (
        "Confusion matrix", "Confidence against accuracy", "Coverage of sets of labels", "What --abstain-below",
        "by true label", "by predicted label", "calibration error", "--slice COLUMN adds",
    ):  # fmt: skip
        assert words in page.text, words
    metrics = json.loads((shop / "label" / "metrics.json").read_text())["test"]
    shown = metrics["decisions"][metrics["decision"]]
    assert f"{shown['accuracy']:.3f}" in page.text and f"{shown['log_loss']:.3f}" in page.text


def test_numbers_are_judged_in_all_ways(shop: Path, tmp_path: Path) -> None:
    page, _ = report(shop / "rating", out=tmp_path / "r.html")
    for words in (
        "Predicted against true", "Residuals by target", "Coverage of intervals", "posterior, as trained",
        "posterior, calibrated", "conformal", "by target", "CRPS",
    ):  # fmt: skip
        assert words in page.text, words
    metrics = json.loads((shop / "rating" / "metrics.json").read_text())["test"]
    assert f"{metrics['decisions'][metrics['decision']]['mae']:.3f}" in page.text


def test_a_head_says_what_it_cannot_show(shop: Path, tmp_path: Path) -> None:
    page, _ = report(shop / "head", out=tmp_path / "r.html")
    assert page.text.count("The run gives a number and no distribution") == 2
    page, _ = report(shop / "free", out=tmp_path / "r.html")
    assert "Free numbers have no distribution" in page.text


def test_the_same_seed_gives_the_same_page(shop: Path, tmp_path: Path) -> None:
    pages = [report(shop / "label", "--seed", 3, out=tmp_path / f"{n}.html")[0] for n in range(2)]
    volatile = ("rows a second", "Made on", "rows in")
    first, second = ([text for text in page.texts if not any(v in text for v in volatile)] for page in pages)
    assert first == second


def test_rows_of_a_file_are_judged_and_leaks_into_it_are_named(
    shop: Path, rows: list[dict[str, object]], tmp_path: Path
) -> None:
    train = json.loads((shop / "label" / "splits.json").read_text())["train"]["rows"]
    fresh = [{**rows[train[0]]}, *({"text": f"new film {n}", "label": ("good", "bad")[n % 2]} for n in range(9))]
    (tmp_path / "new.jsonl").write_text("\n".join(map(json.dumps, fresh)), encoding="utf-8")
    page, _ = report(shop / "label", "--data", tmp_path / "new.jsonl", out=tmp_path / "r.html")
    assert "judged on 10 new rows" in page.text
    assert "Leak from training to new" in page.text and f"row 0 = training row {train[0]}" in page.text
    assert "too few for a calibration error" in page.text


def test_without_its_training_data_it_says_what_is_missing(shop: Path, tmp_path: Path) -> None:
    moved = tmp_path / "run"
    shutil.copytree(shop / "rating", moved)
    splits = json.loads((moved / "splits.json").read_text())
    for part in splits.values():
        part["source"] = str(tmp_path / "gone.jsonl")
    (moved / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(DataError, match=r"no rows to judge.*gone.jsonl.*--data FILE.*--trained-on"):
        report(moved, out=tmp_path / "r.html")
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps({"text": f"film {n}", "rating": n % 3 / 2}) + "\n" for n in range(12)))
    page, _ = report(moved, "--data", other, out=tmp_path / "r.html")
    assert "training rows are not at hand" in page.text and "No linear baseline" in page.text
    with pytest.raises(DataError, match="its content differs"):
        report(moved, "--trained-on", other, out=tmp_path / "r.html")
    page, _ = report(moved, "--trained-on", shop / "rows.jsonl", out=tmp_path / "r.html")
    assert "not at hand" not in page.text and "judged on 50 test rows" in page.text


def test_without_test_rows_it_judges_on_dev_and_warns(shop: Path, tmp_path: Path) -> None:
    moved = tmp_path / "run"
    shutil.copytree(shop / "label", moved)
    splits = json.loads((moved / "splits.json").read_text())
    splits["test"]["rows"] = []
    (moved / "splits.json").write_text(json.dumps(splits))
    page, _ = report(moved, out=tmp_path / "r.html")
    splits["test"] = {"source": "gone.csv", "fingerprint": "of another file", "rows": [1]}
    (moved / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(DataError, match=r"test rows are not at hand .*gone\.csv"):
        report(moved, out=tmp_path / "r.html")
    assert "Judged on dev rows" in page.text and "all figures here are optimistic" in page.text


def test_what_cannot_be_done_is_said_before_any_work(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no run folder"):
        report(tmp_path / "none", out=tmp_path / "r.html")
    with pytest.raises(DataError, match="no column 'tongue' to slice by"):
        report(shop / "label", "--slice", "tongue", out=tmp_path / "r.html")
    with pytest.raises(PredgenError, match="is a folder"):
        report(shop / "label", out=tmp_path)
    assert not (tmp_path / "r.html").exists()
