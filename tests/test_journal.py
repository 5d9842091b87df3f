from __future__ import annotations

import json
from pathlib import Path

import pytest

from predgen.errors import PredgenError
from predgen.journal import Journal
from predgen.prediction import LabelPrediction, Prediction, RowError

FACTS = {"run": "a", "rows": "b", "options": "c"}


def predictions(*numbers: int) -> list[Prediction]:
    return [
        RowError(number, "bad") if number % 3 == 2 else LabelPrediction(number, '"error": ', {"é": 1.0}, ("é",))
        for number in numbers
    ]


def test_a_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    journal = Journal(target)
    assert journal.start(FACTS, resume=False) == 0
    journal.write(predictions(0, 1))
    assert not target.exists()
    journal.write(predictions(2))
    journal.finish()
    assert [json.loads(line)["row"] for line in target.read_text().splitlines()] == [0, 1, 2]
    assert (journal.rows, journal.errors) == (3, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_wherever_it_was_cut_no_row_is_lost_or_repeated(tmp_path: Path) -> None:
    """Cut at every byte: it goes on behind the last whole line."""
    whole = Journal(tmp_path / "whole.jsonl")
    whole.start(FACTS, resume=False)
    whole.write(predictions(*range(5)))
    whole.finish()
    content = (tmp_path / "whole.jsonl").read_bytes()
    for cut in range(len(content) + 1):
        target = tmp_path / f"{cut}.jsonl"
        Journal(target).start(FACTS, resume=True)
        (tmp_path / f"{cut}.jsonl.part").write_bytes(content[:cut])
        journal = Journal(target)
        done = journal.start(FACTS, resume=True)
        assert done == content[:cut].count(b"\n")
        journal.write(predictions(*range(done, 5)))
        journal.finish()
        assert target.read_bytes() == content
        assert (journal.rows, journal.errors) == (5, 1)


def test_unfinished_predictions_are_never_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    Journal(target).start(FACTS, resume=False)
    with pytest.raises(PredgenError, match="Go on with --resume"):
        Journal(target).start(FACTS, resume=False)
    with pytest.raises(PredgenError, match="changed: rows, options"):
        Journal(target).start({**FACTS, "rows": "x", "options": "y"}, resume=True)
    (tmp_path / "out.jsonl.part.json").unlink()
    with pytest.raises(PredgenError, match="is not known"):
        Journal(target).start(FACTS, resume=True)


def test_resuming_with_nothing_there_begins(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("of another day\n")
    assert Journal(tmp_path / "out.jsonl").start(FACTS, resume=True) == 0
    assert (tmp_path / "out.jsonl").read_text() == "of another day\n"
