from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.deepspeed import HfDeepSpeedConfig
from accelerate.utils.launch import prepare_multi_gpu_env

from predgen.config_reading import load_config
from predgen.data.tasks import find
from predgen.reproduce.methods import METHODS
from predgen.reproduce.recipes import RECIPE_METHODS, columns, recipe

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "recipes"
LAUNCHERS = sorted((FOLDER / "accelerate").glob("*.yaml"))
RECIPES = [path for path in sorted(FOLDER.rglob("*.yaml")) if path not in LAUNCHERS]
OF_PAPER = [(experiment, column, name) for experiment, column in columns() for name in RECIPE_METHODS]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT / "recipes")))
def test_a_recipe_is_valid_and_opens_with_its_command(path: Path) -> None:
    load_config(path)
    comment = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any(path.relative_to(ROOT).as_posix() in line for line in comment)


def test_there_are_recipes_of_every_task_and_method() -> None:
    paths = {path.relative_to(ROOT / "recipes").as_posix() for path in RECIPES}
    assert len(OF_PAPER) == 20 * 4
    assert paths == {"demo.yaml", "vader_tweets.yaml"} | {f"{column.task}/{name}.yaml" for _, column, name in OF_PAPER}


@pytest.mark.parametrize(("experiment", "column", "name"), OF_PAPER, ids=lambda each: getattr(each, "task", str(each)))
def test_a_recipe_is_the_tables_preset(experiment: object, column: object, name: str) -> None:
    path = ROOT / "recipes" / column.task / f"{name}.yaml"  # type: ignore[attr-defined]
    assert path.read_text() == recipe(experiment, column, METHODS[name]), (  # type: ignore[arg-type]
        "run: python -m predgen.reproduce.recipes recipes"
    )
    config = load_config(path)
    trained = find(column.trained_on)  # type: ignore[attr-defined]
    scored = find(column.task)  # type: ignore[attr-defined]
    assert config.data.source == trained.name and config.data.eval == scored.source(scored.reported)
    assert config.method == METHODS[name].settings["method"]
    preset = trained.preset
    if preset is not None:
        train = config.train
        assert (train.learning_rate, train.batch_size, train.accumulate) == (
            preset.learning_rate, preset.batch_size, preset.accumulate,
        )  # fmt: skip
        assert (train.epochs, train.warmup, train.schedule) == (preset.epochs, preset.warmup_steps, preset.schedule)
        assert config.method != "predgen" or config.sampling.steps == preset.sampling_steps
    assert f"Aims at Table {experiment.name[-1]}" in path.read_text() or not column.in_paper  # type: ignore[attr-defined]


def test_there_are_recipes() -> None:
    assert RECIPES


def launched(name: str, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """What `accelerate launch` makes of a configuration and a command."""
    monkeypatch.chdir(FOLDER.parent)
    path = FOLDER / "accelerate" / f"{name}.yaml"
    arguments = launch_command_parser().parse_args(["--config_file", str(path), "-m", "predgen", "fit", "rows.csv"])
    return _validate_launch_command(arguments)[0]


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.name)
def test_a_launcher_reads_its_configuration_which_opens_with_its_command(path: Path) -> None:
    config = load_config_from_file(str(path))  # refuses unknown keys
    assert config.num_processes == 2 and config.num_machines == 1
    comment = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any(f"accelerate launch --config_file recipes/accelerate/{path.name}" in line for line in comment)


def test_there_is_one_for_each_way() -> None:
    assert [path.stem for path in LAUNCHERS] == ["ddp", "ddp_cpu", "deepspeed_zero3", "fsdp"]


def test_two_processes_are_started_on_cpus_without_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = launched("ddp_cpu", monkeypatch)
    assert arguments.multi_gpu and arguments.use_cpu and not arguments.use_fsdp


def test_fsdp_divides_by_layers_in_version_2(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = launched("fsdp", monkeypatch)
    assert arguments.use_fsdp and arguments.num_processes == 2
    environment = prepare_multi_gpu_env(arguments)
    assert environment["ACCELERATE_USE_FSDP"] == "true" and environment["FSDP_VERSION"] == "2"
    assert environment["FSDP_AUTO_WRAP_POLICY"] == "TRANSFORMER_BASED_WRAP"
    assert environment["FSDP_TRANSFORMER_CLS_TO_WRAP"] == "LlamaDecoderLayer"
    assert environment["FSDP_CPU_RAM_EFFICIENT_LOADING"].lower() == "false"


def test_the_deepspeed_file_is_what_the_integration_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = launched("deepspeed_zero3", monkeypatch)
    assert arguments.use_deepspeed
    path = FOLDER.parent / arguments.deepspeed_config_file
    config = HfDeepSpeedConfig(str(path))
    assert config.is_zero3() and not config.is_offload()
    # What the Trainer fills in by its own settings.
    for key in (
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
        "gradient_accumulation_steps",
        "gradient_clipping",
        "bf16.enabled",
        "fp16.enabled",
        "zero_optimization.reduce_bucket_size",
        "zero_optimization.stage3_prefetch_bucket_size",
        "zero_optimization.stage3_param_persistence_threshold",
    ):
        assert config.get_value(key) == "auto", key
    assert set(json.loads(path.read_text())) == {
        "bf16",
        "fp16",
        "zero_optimization",
        "gradient_accumulation_steps",
        "gradient_clipping",
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
    }
