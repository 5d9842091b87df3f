from __future__ import annotations

from typing import Any

import pytest

from predgen.config_reading import load_config
from predgen.data.columns import read_fields
from predgen.data.schema import decide_schema
from predgen.data.table import Table
from predgen.errors import DataError


def table(rows: list[dict[str, Any]]) -> Table:
    return Table("rows.csv", [*rows], tuple(rows[0]), "")


def decide(rows: list[dict[str, Any]], *assignments: str) -> tuple[str, str, str]:
    schema = decide_schema(table(rows), load_config(assignments=assignments))
    assert len(schema.reasons) == 3 and schema.kind == "single" and len(schema.fields) == 1
    return schema.template, schema.fields[0].column, schema.fields[0].task


def column(values: list[Any]) -> list[dict[str, Any]]:
    return [{"text": f"some text {number}", "label": value} for number, value in enumerate(values)]


def test_columns_are_found_by_name() -> None:
    rows = [{"id": 1, "review": "a", "stars": v} for v in ("2.5", "3.1", "4.2")]
    assert decide(rows) == ("{review}", "stars", "regression")


def test_the_only_other_columns_are_taken() -> None:
    assert decide([{"body": "x", "mood": "good"}, {"body": "y", "mood": "bad"}])[:2] == ("{body}", "mood")
    assert decide([{"remark": "x", "label": "good"}, {"remark": "y", "label": "bad"}])[:2] == ("{remark}", "label")


def test_a_clearly_longer_column_is_the_text() -> None:
    rows = [{"id": f"n{n}", "passage": "a long passage of words " * 3, "label": "ab"[n % 2]} for n in range(4)]
    assert decide(rows)[0] == "{passage}"


def test_what_is_not_clear_is_asked_for() -> None:
    with pytest.raises(DataError, match=r"target column is not clear: label, score\. Name it with --target"):
        decide([{"text": "a", "label": 1, "score": 2}])
    with pytest.raises(DataError, match=r"text column is not clear.*--text"):
        decide([{"premise": "some words here", "claim": "some words there", "label": "a"}])


def test_named_columns_must_be_there() -> None:
    rows = column(["a", "b"])
    with pytest.raises(DataError, match=r"no column 'lable' \(--target\): did you mean 'label'"):
        decide(rows, "data.target=lable")
    with pytest.raises(DataError, match=r"no column 'txt' \(--text\)"):
        decide(rows, "data.text=txt")
    with pytest.raises(DataError, match=r"no column 'b' \(--template\)"):
        decide(rows, "data.template='{text} {b}'")
    with pytest.raises(DataError, match="also part of the text"):
        decide(rows, "data.template='{text} {label}'")


def test_a_template_may_type_its_newlines() -> None:
    assert decide(column(["a", "b"]), "data.template='A: {text}\\nB'")[0] == "A: {text}\nB"


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["pos", "neg", "pos"], "classification"),
        ([True, False], "classification"),
        ([0, 1, 1, 0], "classification"),
        (["1", "2", "3"], "classification"),
        (list(range(11)), "regression"),
        (["1.5", "2.0", "3"], "regression"),
        ([0.25, 0.5], "regression"),
        (["3", "n/a", None, "4.5"], "regression"),
    ],
)
def test_the_task_follows_from_the_target(values: list[Any], task: str) -> None:
    assert decide(column(values))[2] == task


def test_a_broken_number_column_is_not_taken_for_labels() -> None:
    with pytest.raises(DataError, match="not in 1, first in row 30: 'x3'"):
        decide(column([f"{n}.5" for n in range(30)] + ["x3"]))
    with pytest.raises(DataError, match="does not look like labels"):
        decide(column([f"free text {n}" for n in range(50)]))
    assert decide(column([f"free text {n}" for n in range(50)]), "task=classification")[2] == "classification"


def test_several_targets_make_a_record() -> None:
    rows = [{"text": f"a text {n}", "mood": "ab"[n % 2], "strength": n / 10} for n in range(12)]
    schema = decide_schema(table(rows), load_config(assignments=["data.target=[mood, strength]"]))
    assert schema.kind == "record" and schema.template == "{text}"
    assert [(field.name, field.task) for field in schema.fields] == [
        ("mood", "classification"),
        ("strength", "regression"),
    ]
    assert read_fields(rows, schema.fields)[1] == [n / 10 for n in range(12)]


def test_a_fields_task_can_be_set_alone() -> None:
    rows = [{"text": f"a text {n}", "mood": "ab"[n % 2], "stars": n % 5} for n in range(12)]
    assignments = ["data.target=[mood, stars]", "fields.stars.task=regression"]
    fields = decide_schema(table(rows), load_config(assignments=assignments)).fields
    assert [field.task for field in fields] == ["classification", "regression"]
    with pytest.raises(DataError, match=r"fields\.star is set, and is no field .*did you mean 'stars'"):
        decide_schema(table(rows), load_config(assignments=[assignments[0], "fields.star.task=regression"]))
    with pytest.raises(DataError, match="named twice"):
        decide_schema(table(rows), load_config(assignments=["data.target=[mood, mood]"]))


@pytest.mark.parametrize("values", [[["b", "a"], [], ["b"]], ["b;a", "", "b"]])
def test_lists_and_split_texts_are_any_number_of_labels(values: list[Any]) -> None:
    rows = column(values)
    assignments = [] if isinstance(values[0], list) else ["data.separator=;"]
    schema = decide_schema(table(rows), load_config(assignments=assignments))
    assert schema.kind == "multilabel"
    assert [field.name for field in schema.fields] == ["a", "b"]
    assert read_fields(rows, schema.fields) == [["yes", "no", "no"], ["yes", "no", "yes"]]


def test_labels_that_cannot_be_read_are_named() -> None:
    with pytest.raises(DataError, match=r"1 of 2 rows have no labels to read in 'label' \(row 1: None\)"):
        decide_schema(table(column([["a"], None])), load_config())
    with pytest.raises(DataError, match=r"'b' \(row 0|such as 'b'"):
        decide_schema(table(column([["a"], ["b"]])), load_config(assignments=["space.labels=[a]"]))
    with pytest.raises(DataError, match=r"data\.separator"):
        decide_schema(table(column(["a", "b"])), load_config(assignments=["task=multilabel"]))
