from __future__ import annotations

from pathlib import Path

import pytest

from predgen.config import load_config
from predgen.data.tasks import find
from predgen.reproduce.methods import METHODS
from predgen.reproduce.recipes import RECIPE_METHODS, columns, recipe

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
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
