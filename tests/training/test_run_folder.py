from __future__ import annotations

from pathlib import Path

import pytest

from predgen.errors import RunFolderError
from predgen.training.resume import cut_log
from predgen.training.run_folder import claim, write_text


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


def test_a_run_that_was_killed_as_it_began_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "config.yaml.part").touch()
    claim(tmp_path, overwrite=False)
    for name in ("config.yaml", "splits.json.part"):
        (tmp_path / name).touch()
    claim(tmp_path, overwrite=True)
    assert not list(tmp_path.iterdir())


def test_another_project_is_no_run_for_its_config_file(tmp_path: Path) -> None:
    for name in ("config.yaml", "main.py"):
        (tmp_path / name).touch()
    with pytest.raises(RunFolderError, match="not a run's"):
        claim(tmp_path, overwrite=True)
    assert (tmp_path / "main.py").exists()


def test_what_is_killed_while_it_writes_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, step in (("config.yaml", None), ("metrics.jsonl", 1)):
        path, old = tmp_path / name, '{"step": 1}\n{"step": 2}\n'
        path.write_text(old)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", lambda *_: pytest.fail("killed"))
            with pytest.raises(pytest.fail.Exception):
                write_text(path, "new") if step is None else cut_log(tmp_path, step)
        assert path.read_text() == old
    cut_log(tmp_path, 1)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\n'
