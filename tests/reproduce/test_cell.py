from __future__ import annotations

import itertools

import pytest

from predgen.config_reading import load_config
from predgen.data.tasks import TASKS, find
from predgen.errors import ConfigError, DataError
from predgen.reproduce.cell import Cell, cells_of, config_of, digest_of, rates_of, reports_of, tasks_of
from predgen.reproduce.costs import check_memory, cost_of
from predgen.reproduce.experiments import EXPERIMENTS, Variant
from predgen.reproduce.grid import shard
from predgen.reproduce.methods import METHODS
from predgen.reproduce.scales import SCALES


def one(task: str = "stsb", method: str = "predgen", scale: str = "cpu", **own: object) -> Cell:
    facts = {"model": "smollm2-135m", "peft": "lora", "variant": Variant(), "seed": 0, **own}
    return Cell(task=task, method=method, scale=scale, **facts)  # type: ignore[arg-type]


def test_an_id_follows_from_the_cell_and_nothing_else() -> None:
    assert one().id == "cpu_stsb_smollm2-135m_lora_predgen_s0"
    assert one(variant=Variant("mode-sequence")).id == "cpu_stsb_smollm2-135m_lora_predgen_mode-sequence_s0"
    assert one(changed=("peft.rank=16",)).id == "cpu_stsb_smollm2-135m_lora_predgen_s0_c6bb3bfa"
    assert one(rates=(1e-3, 4e-4)).id == "cpu_stsb_smollm2-135m_lora_predgen_s0_lr0.001-0.0004"
    assert rates_of(one(rates=(0.5,))) == (0.5,)
    assert one(model="meta-llama/Llama-2-7b-hf").id == one(model="llama2-7b").id


def test_cells_of_a_table_are_distinct_and_shared_between_tables() -> None:
    table, figure = ({cell.id for cell in cells_of(EXPERIMENTS[name], SCALES["cpu"])} for name in ("table2", "fig5"))
    assert len(table) == 6 * 4 * 2 and len(figure) == 6 * 4 * 2
    assert len(table & figure) == 6 * 2  # the default's cells are those of the table
    paper = cells_of(EXPERIMENTS["table1"], SCALES["paper"])
    assert len({cell.id for cell in paper}) == len(paper) == 9 * 3 * 4 * 3


@pytest.mark.parametrize("scale", SCALES)
def test_every_method_may_try_the_same_learning_rates(scale: str) -> None:
    for task in ("stsb", "boolq", "math10k", "sst2"):
        assert len({rates_of(one(task, method, scale)) for method in METHODS}) == 1


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_papers_settings_are_valid_and_those_of_table_3(name: str) -> None:
    experiment = EXPERIMENTS[name]
    for cell in cells_of(experiment, SCALES["paper"], models=experiment.models[:1], peft=experiment.peft[:1]):
        (rate,) = rates_of(cell)
        config, preset = config_of(cell, rate), find(cell.task).preset
        assert config.model.name == cell.model and "/" in config.model.name
        assert config.data.eval is None and config.data.test_size == 0  # what selects never sees what is reported
        if preset is None:
            continue
        train, printed = config.train, preset.settings()["train"]
        assert {key: getattr(train, key) for key in printed} == printed
        if name != "fig4":
            assert config.sampling.steps == preset.sampling_steps


def test_the_paper_s_own_method_is_as_its_text_says() -> None:
    number, label = (config_of(one(task, "predgen-paper"), 1e-3) for task in ("stsb", "boolq"))
    assert (number.loss, number.sampling.mode, number.director.kind) == ("wdal", "sequence", "ordered")
    assert label.director.kind == "class"
    assert config_of(one("stsb", "predgen-released"), 1e-3).sampling.mode == "batch"


def test_small_training_sets_leave_rows_to_select_on() -> None:
    for task, name in itertools.product(("svamp", "stsb", "clear", "arc_challenge"), ("cpu", "smoke")):
        config = config_of(one(task, scale=name), 1e-3)
        rows = TASKS[task].rows["train"]
        beside = 0 if config.data.dev else config.data.dev_size
        assert config.data.train_size is not None and config.data.train_size + beside <= rows


def test_a_variant_in_steps_follows_the_number_of_steps() -> None:
    by_name = {variant.name: variant for variant in EXPERIMENTS["fig4"].variants}
    assert config_of(one(variant=by_name["steps-0.25"]), 1e-3).sampling.steps == 0.25
    # Of 2 × 500 / 16 steps, each epoch rounded up.
    assert config_of(one(variant=by_name["steps-4"]), 1e-3).sampling.steps == 256


def test_reports_are_all_official_splits_with_labels() -> None:
    named = {task: [where.source(split) for where, split in reports_of(TASKS[task])] for task in TASKS}
    assert named["stsb"] == ["stsb/test", "stsb/validation"]
    assert named["sst2"] == ["sst2/validation", "sst2/test"]
    assert named["boolq"] == ["boolq/validation"]
    assert named["math10k"] == [f"{name}/test" for name in ("multiarith", "gsm8k", "addsub", "singleeq", "svamp")]


def test_a_digest_changes_with_any_setting_and_not_with_the_place() -> None:
    assert digest_of(one()) == digest_of(one())
    assert digest_of(one()) != digest_of(one(changed=("peft.rank=16",)))
    assert digest_of(one()) == digest_of(one(seed=1))  # so that seeds of one group can be told to belong together
    assert digest_of(one()) != digest_of(one(method="generator"))


def test_unknown_names_are_listed() -> None:
    table, cpu = EXPERIMENTS["table2"], SCALES["cpu"]
    for own, error, words in (
        ({"tasks": ["boolq"]}, ConfigError, "Table 2 has no column 'boolq'"),
        ({"tasks": ["nothing"]}, DataError, "Unknown task"),
        ({"models": ["llama"]}, ConfigError, "llama2-7b"),
        ({"methods": ["predgn"]}, ConfigError, "did you mean 'predgen'"),
        ({"peft": ["lorra"]}, ConfigError, "lora"),
    ):
        with pytest.raises(error, match=words):
            cells_of(table, cpu, **own)
    with pytest.raises(ConfigError, match="unknown key"):
        config_of(cells_of(table, cpu, changed=["trian.epochs=2"])[0], 1e-3)
    assert cells_of(table, cpu, tasks=["crp"], methods=["predgen"])[0].task == "clear"


def test_several_tables_share_a_list_of_tasks() -> None:
    both = [EXPERIMENTS["table2"], EXPERIMENTS["fig6"]]
    shared = tasks_of(both, ["sts-b", "boolq", "lcp"])
    assert [(each.name, names) for each, names in shared] == [("table2", ["stsb", "lcp"]), ("fig6", ["boolq"])]
    assert [names for _, names in tasks_of(both, [])] == [[], []]
    assert [each.name for each, _ in tasks_of(both, ["boolq"])] == ["fig6"]
    with pytest.raises(ConfigError, match=r"Table 2 or Fig. 6 has no column 'gsm8k'"):
        tasks_of(both, ["gsm8k"])


def test_shards_are_a_partition() -> None:
    cells = cells_of(EXPERIMENTS["table2"], SCALES["cpu"])
    parts = [shard(cells, f"{number}/3") for number in (1, 2, 3)]
    assert sorted(cell.id for part in parts for cell in part) == sorted(cell.id for cell in cells)
    for wrong in ("0/3", "4/3", "1", "a/b", "1/0"):
        with pytest.raises(ConfigError, match="i/n"):
            shard(cells, wrong)


def test_a_model_too_large_is_refused_with_what_it_needs() -> None:
    cell = one(model="llama2-13b", scale="paper", method="predgen-paper")
    with pytest.raises(ConfigError.__base__, match=r"llama2-13b at the scale paper needs about \d+ GiB, and it has 16"):
        check_memory(cell, 16 << 30, "it")
    check_memory(cell, 80 << 30, "it")
    check_memory(cell, 0, "a machine that does not say")
    assert 24 < cost_of(cell, 1e13).memory / 2**30 < 40  # type: ignore[union-attr]


def test_finished_cells_say_how_long_the_others_take() -> None:
    alike, other = one(seed=1).facts(), one(method="generator").facts()
    cost = cost_of(one(), 1e11, [{"cell": alike, "seconds": 70.0}, {"cell": other, "seconds": 9.0}])
    assert cost is not None and cost.measured and cost.seconds == 70.0
    slow, fast = cost_of(one(), 1e10), cost_of(one(), 1e11)
    assert slow is not None and fast is not None and slow.seconds == pytest.approx(10 * fast.seconds)


def test_defaults_of_a_task_do_not_bring_reported_rows_back() -> None:
    assert load_config(None, ["data.source=stsb"]).data.eval == "stsb/test"
    assert config_of(one(), 1e-3).data.eval is None
