from __future__ import annotations

from collections import Counter

import pytest

from predgen.data.tasks import TASKS
from predgen.metrics import METRICS
from predgen.peft_methods import METHODS as PEFT
from predgen.reproduce.consistency import inconsistent
from predgen.reproduce.experiments import EXPERIMENTS
from predgen.reproduce.models import MODELS
from predgen.reproduce.published import AVERAGE, PrintedCell, best_results, figure_values, printed_cells

CELLS = {(*cell.row, cell.task, cell.metric): cell for cell in printed_cells()}


def test_all_cells_of_the_three_tables_are_there_once() -> None:
    assert len(CELLS) == len(printed_cells()) == 36 * 9 + 36 * 7 * 2 + 36 * 6
    for name, metrics in (("table1", {"accuracy"}), ("table2", {"mae", "mse"}), ("table5", {"exact_match"})):
        mine = [cell for cell in printed_cells() if cell.table == name]
        experiment = EXPERIMENTS[name]
        printed = {MODELS[model].printed for model in experiment.models}
        assert {cell.model for cell in mine} == printed
        assert {cell.peft for cell in mine} == set(experiment.peft) <= set(PEFT)
        assert {cell.task for cell in mine} == {c.task for c in experiment.columns if c.in_paper} | {AVERAGE}
        assert {cell.metric for cell in mine} == metrics


@pytest.mark.parametrize(
    ("key", "printed"),
    [
        (("table1", "Llama2-7B", "lora", "predictor", "boolq", "accuracy"), "66.29"),
        (("table1", "Llama2-13B", "adalora", "predgen", "winogrande", "accuracy"), "86.09"),
        (("table1", "Llama2-8B", "dora", "predgen", AVERAGE, "accuracy"), "80.73"),
        (("table2", "Llama2-7B", "lora", "predgen", "stsb", "mae"), "0.576"),
        (("table2", "Llama2-7B", "lora", "predgen", "stsb", "mse"), "0.569"),
        (("table2", "Llama2-8B", "dora", "predgen", "clear", "mse"), "0.262"),
        (("table5", "Mistral-7B", "propulsion", "predictor", "singleeq", "exact_match"), "88.21"),
        (("table5", "DeepSeek-R1-8B", "propulsion", "predgen", AVERAGE, "exact_match"), "68.34"),
    ],
)
def test_cells_are_as_printed(key: tuple[str, ...], printed: str) -> None:
    assert CELLS[key].printed == printed


def test_the_stored_flags_are_what_arithmetic_finds() -> None:
    found = {(*cell.row, cell.task, cell.metric): finding for cell, finding in inconsistent(printed_cells())}
    assert {key: (cell.flag, cell.reason) for key, cell in CELLS.items() if cell.flag} == found


def test_averages_of_printed_rows_are_recomputed() -> None:
    """Restated from the definition: which printed averages are not the mean of their row."""
    wrong = Counter[str]()
    for cell in printed_cells():
        if cell.task != AVERAGE:
            continue
        row = [other.value for other in printed_cells() if other.row == cell.row and other.metric == cell.metric]
        mean = (sum(row) - cell.value) / (len(row) - 1)
        half = 0.0005 if cell.table == "table2" else 0.005
        if abs(mean - cell.value) > half + 1e-9:
            wrong[cell.table] += 1
            assert cell.flag == "average"
    assert wrong == {"table2": 14, "table5": 10}  # and none of Table 1
    repeated = CELLS["table2", "Llama2-13B", "rocoft", "generator", AVERAGE, "mae"]
    assert repeated.printed == "0.860" and "repeats the average of the predictor" in repeated.reason


def test_a_third_of_table_2_is_impossible_as_it_is_read() -> None:
    pairs = Counter(
        (cell.method, cell.task) for cell in printed_cells() if cell.flag == "pair" and cell.metric == "mae"
    )
    assert sum(pairs.values()) == 72
    assert not any(method == "predgen" for method, _ in pairs)
    assert pairs["generator", "lcp"] == 12


def test_one_cell_is_an_outlier() -> None:
    (outlier,) = [cell for cell in printed_cells() if cell.flag == "outlier"]
    assert (outlier.task, outlier.printed) == ("singleeq", "88.21")


def test_a_consistent_row_has_no_findings() -> None:
    def cell(task: str, metric: str, printed: str) -> PrintedCell:
        return PrintedCell("table2", "m", "lora", "predgen", task, metric, printed)

    good = [cell("stsb", "mae", "0.500"), cell("stsb", "mse", "0.250"), cell(AVERAGE, "mae", "0.500")]
    assert inconsistent([*good, cell(AVERAGE, "mse", "0.250")]) == []
    (found,) = inconsistent([*good, cell(AVERAGE, "mse", "0.251")])
    assert found[1] == ("average", "the row's mean is 0.25")


def test_published_results_name_tasks_splits_and_metrics_that_exist() -> None:
    for result in best_results():
        assert result.metric in METRICS and result.task in TASKS
        assert result.system and result.source
        assert 0 < result.value <= 1  # shares, correlations and errors of these sets
    assert {result.task for result in best_results()} >= {column.task for column in EXPERIMENTS["table1"].columns}


def test_what_the_text_says_of_figures_names_their_variants() -> None:
    for value in figure_values():
        variants = {variant.name.partition("-")[2] for variant in EXPERIMENTS[value.figure].variants}
        assert value.variant in variants | {"token"}
