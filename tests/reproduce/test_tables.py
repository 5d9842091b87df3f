from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from predgen.reproduce.averages import averages_of
from predgen.reproduce.blocks import blocks_of
from predgen.reproduce.experiments import EXPERIMENTS
from predgen.reproduce.lines import Block, Line
from predgen.reproduce.page import page
from predgen.reproduce.results import CHOSEN, Group, mean_difference
from predgen.reproduce.tables import as_csv, latex, markdown

TABLE2 = EXPERIMENTS["table2"]
Make = Callable[..., dict[str, Any]]


def noise(size: float, seed: int = 0, rows: int = 200) -> Any:
    return np.random.default_rng(seed).normal(scale=size, size=rows)


def ours(block: Block) -> dict[str, Line]:
    return {line.title: line for line in block.lines if line.kind == "ours"}


def test_a_group_is_the_mean_of_its_seeds_and_their_standard_deviation(record: Make) -> None:
    group = Group([record(seed=0, errors=[0.1, -0.1]), record(seed=1, errors=[0.3, -0.3])])
    found = group.summary("stsb/test", CHOSEN, "mae")
    assert found.mean == pytest.approx(0.2) and found.spread == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert Group([record(errors=[0.1, -0.1])]).summary("stsb/test", CHOSEN, "mae").spread is None


def test_a_difference_is_paired_over_rows(record: Make) -> None:
    errors = noise(1.0)
    plain, worse = Group([record(errors=errors)]), Group([record(errors=errors * 1.05)])
    paired = mean_difference([(worse, plain, "stsb/test")], CHOSEN, "mae")
    assert paired is not None and 0 < paired.low < 0.05 * np.abs(errors).mean() < paired.high
    # Of rows that are another's there is no pair, and their intervals overlap by far.
    elsewhere = Group([record(errors=errors, fingerprint="cd" * 32)])
    assert mean_difference([(worse, elsewhere, "stsb/test")], CHOSEN, "mae") is None
    assert mean_difference([(worse, Group([record(errors=errors, seed=5)]), "stsb/test")], CHOSEN, "mae") is None


def test_seeds_are_drawn_too(record: Make) -> None:
    """Two methods that change places from seed to seed are not told apart, however sure each seed is by itself."""
    one = [record("predgen", seed, np.full(50, value)) for seed, value in ((0, 1.0), (1, 3.0))]
    other = [record("generator", seed, np.full(50, value)) for seed, value in ((0, 2.0), (1, 1.0))]
    apart = mean_difference([(Group(one[:1]), Group(other[:1]), "stsb/test")], CHOSEN, "mae")
    together = mean_difference([(Group(one), Group(other), "stsb/test")], CHOSEN, "mae")
    assert apart is not None and apart.high < 0
    assert together is not None and together.low < 0 < together.high
    assert (together.low, together.high) == pytest.approx((-1.0, 2.0), abs=1e-3)


def test_the_seeds_of_one_run_are_drawn_together_for_all_rows_that_it_is_scored_on(record: Make) -> None:
    """A run on math10k has five test sets: over these a lucky seed does not even out, over five tasks' runs it does."""
    tasks, members = [f"task{number}" for number in range(5)], ((0, 1.0), (1, 3.0))

    def apart(trained_on: Callable[[str], str]) -> float:
        pairs = []
        for task in tasks:
            where = {"task": trained_on(task), "rows": f"{task}/test"}
            one = Group([record("predgen", seed, np.full(50, value), **where) for seed, value in members])
            other = Group([record("generator", seed, np.full(50, 2.0), **where) for seed, _ in members])
            pairs.append((one, other, where["rows"]))
        found = mean_difference(pairs, CHOSEN, "mae")
        assert found is not None
        return found.high - found.low

    assert apart(lambda task: "math10k") == pytest.approx(2.0, abs=1e-3)
    assert apart(lambda task: task) < 1.9


def test_the_best_is_marked_and_what_is_not_told_apart_from_it(record: Make) -> None:
    errors = noise(0.5)
    records = [
        record("predgen", errors=errors),
        record("generator", errors=1.001 * np.roll(errors, 1)),
        record("predictor", errors=errors * 2),
        record("predgen", errors=errors / 2, model="other"),  # another comparison
    ]
    (block,) = blocks_of(TABLE2, records)
    marks = {(line.title, line.model): line.values["mae"].mark for line in block.lines if line.kind == "ours"}
    assert marks == {
        ("PredGen", "other"): "",
        ("Predictor (last token)", "smollm2-135m"): "behind",
        ("Generator", "smollm2-135m"): "noise",
        ("PredGen", "smollm2-135m"): "best",
    }
    text = markdown("t", [block])
    assert "| ours | PredGen | smollm2-135m | lora | mean | 1 | **" in text and " ≈ |" in text


def test_a_line_that_is_ahead_with_the_seeds_that_both_have_is_not_called_behind(record: Make) -> None:
    """One seed of the best, and of the other a bad one besides."""
    cells = [record("predgen", 0, np.full(50, 0.5))]
    cells += [record("generator", seed, np.full(50, value)) for seed, value in ((0, 0.1), (1, 1.0))]
    cells.append(record("predictor", 0, np.full(50, 0.7)))
    (block,) = blocks_of(TABLE2, cells)
    marks = {title: line.values["mae"].mark for title, line in ours(block).items()}
    assert marks == {"PredGen": "best", "Generator": "noise", "Predictor (last token)": "behind"}


def test_the_papers_cells_and_published_results_stand_beside_ours_on_their_own_split(record: Make) -> None:
    (block,) = blocks_of(TABLE2, [record(task="lcp", rows="lcp/test")])
    paper = {line.title: line for line in block.lines if line.kind == "paper"}
    assert paper["PredGen"].values["mae"].value == 0.062 and not paper["PredGen"].values["mae"].flag
    assert paper["Predictor"].values["mae"].flag == "pair"
    assert next(line.title for line in block.lines if line.kind == "published").startswith("JUST-BLUE")
    (other,) = blocks_of(TABLE2, [record(rows="stsb/validation")])
    assert not any(line.kind == "paper" for line in other.lines)  # Table 2 is set beside the reported split
    assert any(line.title == "RoBERTa-base (125M)" for line in other.lines)
    assert "A seeded sample of 3 of the 1500 rows." in other.notes
    assert "of these rows" in other.notes and any("7 of these rows have a text" in note for note in other.notes)


def test_rows_that_selected_something_are_said_so_and_not_judged(record: Make) -> None:
    cells = [record(method, errors=noise(0.5 + place)) for place, method in enumerate(("predgen", "generator"))]
    for cell in cells:
        cell["reports"]["stsb/test"]["selected_on"] = True
    (block,) = blocks_of(TABLE2, cells)
    assert {line.values["mae"].mark for line in ours(block).values()} == {""}
    assert any("optimistic" in note for note in block.notes)


def test_unequal_tuning_and_mixed_settings_are_noted(record: Make) -> None:
    cells = [record("predgen", rates=(0.001, 0.002)), record("generator"), record("generator", seed=1)]
    cells[2]["digest"] = "e" * 64
    (block,) = blocks_of(TABLE2, cells)
    assert "Learning rates: 0.001, 0.002. Tuned less, with fewer of them: Generator (0.001)." in block.notes
    assert any("different settings" in note for note in block.notes)


def test_a_baseline_that_lacks_columns_takes_none_away_from_the_papers_methods(record: Make) -> None:
    cells = [
        record(method, errors=noise(0.5), task=task, rows=f"{task}/test")
        for method in ("predgen", "predictor", "predictor-attention")
        for task in ("stsb", "lcp", "sick")
        if (method, task) != ("predictor-attention", "sick")
    ]
    (average,) = averages_of(TABLE2, cells)
    assert set(average.tasks) == {"stsb", "lcp", "sick"}
    assert [line.title for line in average.lines] == ["Predictor (last token)", "PredGen"]
    only = [cell for cell in cells if cell["cell"]["method"] != "predictor"]  # one of the paper's: all decide
    (average,) = averages_of(TABLE2, only)
    assert set(average.tasks) == {"stsb", "lcp"}
    assert [line.title for line in average.lines] == ["Predictor (attention pooling)", "PredGen"]


def test_an_average_is_over_the_columns_that_all_methods_have(record: Make) -> None:
    cells = []
    for task, scale in (("stsb", 0.5), ("lcp", 0.1)):
        errors = noise(scale)
        cells.append(record("predgen", errors=errors, task=task, rows=f"{task}/test"))
        cells.append(record("predictor", errors=errors * 1.3, task=task, rows=f"{task}/test"))
    cells.append(record("predgen", errors=noise(1.0), task="sick", rows="sick/test"))
    (average,) = averages_of(TABLE2, cells)
    assert average.tasks == ("stsb", "lcp")
    lines = {line.title: line.values["mae"] for line in average.lines}
    each = [np.abs(noise(scale)).mean() for scale in (0.5, 0.1)]
    assert lines["PredGen"].value == pytest.approx(np.mean(each)) and lines["PredGen"].mark == "best"
    assert lines["Predictor (last token)"].mark == "behind"
    assert not any(line.kind == "paper" for line in average.lines)  # its average is over all six


def test_an_ablation_shows_its_variants_and_what_the_text_says_of_them(record: Make) -> None:
    cells = [record(), record(variant="mode-sequence", errors=[0.2, -0.2, 0.2]), record("predgen-paper")]
    (block,) = blocks_of(EXPERIMENTS["fig5"], cells)
    assert list(ours(block)) == ["PredGen, token (default)", "PredGen, sequence"]
    paper = [line for line in block.lines if line.kind == "paper"]
    assert [line.title for line in paper] == ["sequence", "token"] and all(line.values["mse"].flag for line in paper)
    assert blocks_of(EXPERIMENTS["fig6"], cells) == []
    assert blocks_of(EXPERIMENTS["fig5"], [record(), record("predgen-paper")]) == []  # nothing is changed


def test_each_metric_is_judged_and_the_official_one_compared_under_all_decisions(record: Make) -> None:
    errors = np.abs(noise(0.5))
    cells = [record("predgen", errors=errors), record("generator", errors=errors + 0.5)]
    for cell in cells:
        cell["cell"]["task"] = "clear"
        cell["reports"]["clear/test"] = cell["reports"].pop("stsb/test")
        cell["resamples"]["values"]["clear/test"] = cell["resamples"]["values"].pop("stsb/test")
    (block,) = blocks_of(TABLE2, cells)
    assert block.judged == "rmse" and block.metrics == ("mae", "mse", "pearson", "rmse")
    marks = {
        title: {metric: shown.mark for metric, shown in line.values.items()} for title, line in ours(block).items()
    }
    # A constant shift is worse by every error, and the same to a correlation but for rounding.
    assert marks["PredGen"]["mae"] == marks["PredGen"]["mse"] == marks["PredGen"]["rmse"] == "best"
    assert marks["Generator"]["mae"] == marks["Generator"]["rmse"] == "behind"
    assert marks["Generator"]["pearson"] in ("best", "noise") and marks["PredGen"]["pearson"] in ("best", "noise")
    assert block.by_decision["Generator"]["mean"].value == ours(block)["Generator"].values["rmse"].value
    assert any("chosen on dev by pearson" in note for note in block.notes)


def test_csv_latex_and_html_hold_the_same_numbers(record: Make) -> None:
    blocks = blocks_of(TABLE2, [record("predgen", errors=noise(0.5)), record("generator", errors=noise(1.0))])
    rows = list(csv.DictReader(io.StringIO(as_csv(blocks))))
    mine = next(row for row in rows if (row["method"], row["metric"]) == ("PredGen", "mae"))
    assert (mine["whose"], mine["mark"], mine["split"], mine["scale"]) == ("ours", "best", "test", "cpu")
    shown = f"{float(mine['value']):.3f}"
    assert f"**{shown}**" in markdown("t", blocks)
    assert f"$\\mathbf{{{shown}}}$" in latex("t", blocks)
    html = page("t & u", blocks)
    assert f'<span class="best">{shown}</span>' in html and "t &amp; u" in html and html.count("<img ") == 1
    assert "_" not in latex("t", blocks).replace("\\_", "")  # which LaTeX would take for a subscript
