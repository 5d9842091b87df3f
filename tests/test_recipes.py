from __future__ import annotations

from pathlib import Path

import pytest

from predgen.config import load_config

RECIPES = sorted((Path(__file__).parent.parent / "recipes").rglob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_is_valid_and_opens_with_its_command(path: Path) -> None:
    load_config(path)
    comment = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any(f"recipes/{path.name}" in line for line in comment)


def test_there_are_recipes() -> None:
    assert RECIPES
