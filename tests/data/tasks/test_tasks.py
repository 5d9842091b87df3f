from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import Dataset

from predgen.answers.spaces import FreeNumber, LabelSet, NumberGrid
from predgen.config_reading import load_config
from predgen.data.sources import read_table
from predgen.data.tasks import TASKS, find, known
from predgen.data.tasks.card import card, listed
from predgen.data.tasks.presets import STSB
from predgen.data.tasks.task import Task
from predgen.errors import DataError
from predgen.metrics import METRICS
from predgen.training.prepare import prepare

PAPER = "boolq piqa siqa hellaswag winogrande arc_easy arc_challenge obqa sst2 wassa sick stsb lcp clear humicroedit"
ARITHMETIC = "math10k multiarith gsm8k addsub singleeq svamp"
TRAINED = [task for task in TASKS.values() if "train" in task.rows]


def test_all_data_sets_of_the_paper_are_there() -> None:
    assert {*PAPER.split(), *ARITHMETIC.split()} <= set(TASKS)


@pytest.mark.parametrize(
    ("alias", "name"), [("arc-e", "arc_easy"), ("ARC-C", "arc_challenge"), ("crp", "clear"), ("openbookqa", "obqa")]
)
def test_aliases_are_found_in_any_case(alias: str, name: str) -> None:
    assert find(alias) is TASKS[name] and known(alias)


def test_no_two_tasks_share_a_name() -> None:
    names = [name for task in TASKS.values() for name in (task.name, *task.aliases)]
    assert len(names) == len(set(names)) and all(name == name.lower() for name in names)


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'stsb'"):
        find("stbs")
    with pytest.raises(DataError, match="did you mean 'sts-b'"):
        find("stss-b")


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_a_record_hangs_together(task: Task) -> None:
    assert task.reported in {**task.rows, **task.parts} and (task.dev is None or task.dev in task.rows)
    assert task.dev != task.reported
    assert task.metric in METRICS and METRICS[task.metric].task == task.answers and task.metrics[0] == task.metric
    assert set(task.columns) <= set(task.sample)
    assert task.scorer.startswith("https://")
    if task.labels:
        assert set(task.labels.values()) == set(task.space["labels"])
    shown = card(task, None)
    assert task.cue.strip() in shown and task.title in shown


def test_the_list_has_a_line_a_task(tmp_path: Path) -> None:
    assert [row[0] for row in listed(None)] == list(TASKS)
    assert all("not there" in row[2] for row in listed(tmp_path))


def test_a_card_shows_the_prompt_and_the_answer_of_the_sample() -> None:
    shown = card(TASKS["obqa"], None)
    assert "    Question: A plant turns towards\n    A. the light\n    B. a stone" in shown
    assert "    D. music\n    Answer: A\n" in shown
    assert shown.endswith("    Question: A plant turns towards\n    Answer: the light")
    assert card(TASKS["boolq"], None).endswith("Question: is the old mill open in winter?\n    Answer: no")


def test_a_preset_is_settings_of_a_run() -> None:
    config = load_config(under={**STSB.settings()})
    assert (config.train.warmup, config.train.epochs, config.train.accumulate, config.sampling.steps) == (
        200,
        20,
        4,
        500,
    )


@pytest.mark.parametrize("task", TRAINED, ids=lambda task: task.name)
def test_a_task_needs_no_setting_but_its_name(task: Task, write) -> None:  # type: ignore[no-untyped-def]
    root = write(task)
    for other in {part.split("/")[0] for parts in task.parts.values() for part in parts}:
        write(TASKS[other])
    said: list[str] = []
    config = load_config(assignments=[f"data.source={task.name}", f"data.root={root}"])
    prepared = prepare(config, said.append)
    dev = 20 if task.dev else 2
    # math10k is tested on five sets together
    assert (len(prepared.train), len(prepared.dev)) == (20 if task.dev else 18, dev)
    assert len(prepared.test) == (100 if task.name == "math10k" else 20)
    kind = {"regression": NumberGrid, "arithmetic": FreeNumber}.get(task.kind, LabelSet)
    assert isinstance(prepared.spaces[0], kind)
    assert config.train.metric == task.metric and config.prompt.cue == task.cue
    if task.labels:
        assert set(map(str, prepared.train.targets[0])) == set(task.labels.values())


def test_what_the_user_says_wins_over_the_task() -> None:
    config = load_config(
        assignments=["data.source=arc-e", "prompt.cue=' ='", "data.eval=other.csv", "train.metric=macro_f1"]
    )
    assert config.prompt.cue == " =" and config.data.eval == "other.csv" and config.data.dev == "arc_easy/validation"
    assert config.train.metric == "macro_f1" and config.space.labels == tuple("ABCDE")
    assert config.data.source == "arc-e"


def test_another_target_takes_cue_space_and_metric_along() -> None:
    config = load_config(assignments=["data.source=sick", "data.target=entailment_judgment"])
    assert config.prompt.cue == load_config().prompt.cue and config.space.kind == "auto" and config.train.metric is None
    assert config.task == "auto" and config.data.template == TASKS["sick"].template
    assert config.data.dev == "sick/validation"


def test_another_text_takes_the_place_of_the_template() -> None:
    assert load_config(assignments=["data.source=clear", "data.text=Title"]).data.template is None


def test_rows_of_another_split_are_not_reported_too() -> None:
    config = load_config(assignments=["data.source=stsb/test"])
    assert config.data.eval is None and config.data.dev is None and config.data.target == "score"


def test_a_file_of_the_same_name_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stsb").write_text("text,label\na,b\n")
    assert load_config(assignments=["data.source=stsb"]).data.target is None
    Dataset.from_list([{"text": "a", "label": "b"}]).save_to_disk("sick")
    assert load_config(assignments=["data.source=sick"]).data.target is None
    assert read_table("sick").columns == ("text", "label")


def test_resolved_settings_say_it_all_again(tmp_path: Path) -> None:
    config = load_config(assignments=["data.source=sst2"])
    file = tmp_path / "config.yaml"
    file.write_text(config.to_yaml())
    assert load_config(file) == config and json.dumps(config.to_dict())
    assert config.data.label_names == {"0": "negative", "1": "positive"}
