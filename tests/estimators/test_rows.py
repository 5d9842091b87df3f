from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from scipy import sparse

from predgen.estimators.input_errors import InputError, InputTypeError
from predgen.estimators.rows import columns_of, template_over

FRAME = pd.DataFrame({"a": ["one", None], "b": [1.5, float("nan")]}, index=[7, 3])


@pytest.mark.parametrize(
    "X",
    [
        ["one", "two"],
        ("one", "two"),
        np.array(["one", "two"]),
        np.array(["one", "two"], dtype=object),
        pd.Series(["one", "two"], index=[5, 9]),
    ],
)
def test_texts(X: Any) -> None:
    read = columns_of(X)
    assert read.texts and read.mappings(["review"]) == [{"review": "one"}, {"review": "two"}]


@pytest.mark.parametrize("X", [FRAME, Dataset.from_pandas(FRAME, preserve_index=False), FRAME.to_dict("records")])
def test_named_columns(X: Any) -> None:
    read = columns_of(X)
    assert read.mappings(["b", "a"]) == [{"a": "one", "b": 1.5}, {"a": None, "b": None}]
    with pytest.raises(InputError, match=r"no column 'bb'.*did you mean 'b'"):
        read.mappings(["a", "bb"])


def test_columns_without_names_go_by_their_places() -> None:
    read = columns_of(np.array([[0.1, 2], [3, 4]], dtype=np.float32))
    assert read.names == ("x0", "x1") and read.mappings(["a", "b"])[0] == {"a": 0.1, "b": 2.0}
    assert columns_of([["a", 1], ["b", 2]]).mappings(["u", "v"])[1] == {"u": "b", "v": "2"}
    with pytest.raises(InputError, match="2 column"):
        read.mappings(["a"])


@pytest.mark.parametrize(
    ("X", "error", "words"),
    [
        ("one text", InputTypeError, "Put it in a list"),
        ({"a": ["x"]}, InputTypeError, "one dict"),
        (sparse.csr_array([[1.0]]), InputTypeError, "sparse"),
        ([], InputError, "minimum of 1|0 rows"),
        (np.empty((3, 0)), InputError, r"0 feature\(s\)"),
        (np.array([1.0, 2.0]), InputError, "reshape"),
        (np.zeros((2, 2, 2)), InputError, "3 dimensions"),
        ([["a"], ["b", "c"]], InputError, "different lengths"),
        ([{"a": 1}, "b"], InputTypeError, "Row 1"),
        (np.array([[1j]]), InputError, "Complex"),
        (pd.DataFrame({"a": [["list"]]}), InputTypeError, "must be a string or a number"),
        (pd.DataFrame([["one", "two"], ["three", "four"]], columns=["a", "a"]), InputError, "several columns 'a'"),
        (pd.DataFrame([["one", 1, "two"]], columns=[0, 1, 0]), InputError, "several columns 0"),
    ],
)
def test_what_holds_no_rows(X: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        columns_of(X)


def test_the_template_of_columns() -> None:
    assert template_over(["a"]) == "{a}"
    assert template_over(["a", "b"]) == "a: {a}\nb: {b}"
