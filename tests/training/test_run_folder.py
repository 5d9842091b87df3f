from __future__ import annotations

from pathlib import Path

import pytest

from predgen.errors import RunFolderError
from predgen.training.run_folder import claim


@pytest.mark.parametrize(
    "names", [["predgen.json"], ["config.yaml", "splits.json", "checkpoints.txt"], ["config.yaml"]]
)
def test_a_run_is_replaced_where_that_is_asked_for(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(RunFolderError, match="holds another run"):
        claim(tmp_path, overwrite=False)
    claim(tmp_path, overwrite=True)
    assert not list(tmp_path.iterdir())


def test_another_project_is_no_run_for_its_config_file(tmp_path: Path) -> None:
    for name in ("config.yaml", "main.py"):
        (tmp_path / name).touch()
    with pytest.raises(RunFolderError, match="not a run's"):
        claim(tmp_path, overwrite=True)
    assert (tmp_path / "main.py").exists()
