"""Runs on the hub, with the hub's client replaced at its two entrances: what goes up, what comes down."""

from __future__ import annotations

import fnmatch
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import ModelCard

import predgen
from predgen.config_reading import load_config
from predgen.errors import HubError, RunFolderError
from predgen.hub import located
from predgen.model import bases
from predgen.training.card import write_card
from predgen.training.fit import Fitted, fit

TEXTS = ["The film was good", "The film was bad"]


class Hub:
    """Repositories as folders."""

    def __init__(self, root: Path) -> None:
        self.root, self.made, self.tokens = root, dict[str, bool](), list[str | None]()

    def api(self, token: str | None = None) -> Any:
        self.tokens.append(token)
        return SimpleNamespace(create_repo=self.create_repo, upload_folder=self.upload_folder)

    def create_repo(self, repo_id: str, private: bool, exist_ok: bool) -> None:
        if repo_id.startswith("forbidden/"):
            raise PermissionError("403 Forbidden: you may not write here")
        self.made[repo_id] = private

    def upload_folder(self, repo_id: str, folder_path: Path, allow_patterns: list[str], **rest: Any) -> Any:
        copy_wanted(Path(folder_path), self.root / repo_id, allow_patterns)
        assert rest["commit_message"]
        return SimpleNamespace(commit_url=f"hub/{repo_id}/commit/1", pr_url=None)

    def snapshot_download(self, repo_id: str, revision: str | None, allow_patterns: list[str]) -> str:
        if not (self.root / repo_id).is_dir():
            raise FileNotFoundError("404")
        target = self.root / "cache" / repo_id.replace("/", "--") / str(revision)
        copy_wanted(self.root / repo_id, target, allow_patterns)
        return str(target)


def copy_wanted(source: Path, target: Path, patterns: list[str]) -> None:
    for file in source.rglob("*"):
        if file.is_file() and any(fnmatch.fnmatch(file.name, pattern) for pattern in patterns):
            (target / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target / file.relative_to(source))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", made.api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    return made


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Fitted:
    """A run on a base that is called as if it came from the hub."""
    place = tmp_path_factory.mktemp("private-place")
    rows = [{"text": f"The film {n} was {('good', 'bad')[n % 2]}", "stars": n % 5 / 2} for n in range(40)]
    (place / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assignments = [f"data.source={place / 'rows.jsonl'}", f"out={place / 'run'}", "data.target=stars"]
    assignments += ["model.name=someone/tiny", "train.max_steps=2", "train.evaluations=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bases, "_from_hub", lambda name, revision: tiny_base)
        return fit(load_config(assignments=assignments), say=lambda line: None, show_progress=False)


def test_a_run_goes_up_and_comes_down(
    fitted: Fitted, hub: Hub, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fitted.folder / "tensorboard").mkdir(exist_ok=True)
    (fitted.folder / "tensorboard" / "events.json").write_text("{}")
    (fitted.folder / "weights.bin").write_bytes(b"pickled")
    assert fitted.run.push_to_hub("me/stars", private=True, token="secret") == "hub/me/stars/commit/1"
    assert hub.made == {"me/stars": True} and hub.tokens == ["secret"]
    stored = hub.root / "me" / "stars"
    assert not (stored / "tensorboard").exists() and not (stored / "weights.bin").exists()
    for file in stored.rglob("*"):
        if file.is_file() and file.suffix in (".json", ".yaml", ".md", ".txt", ".jsonl"):
            assert "private-place" not in file.read_text(), file.name
    assert json.loads((stored / "predgen.json").read_text())["config"]["data"]["source"] == "rows.jsonl"
    # What is at home stays as it was.
    assert "private-place" in (fitted.folder / "config.yaml").read_text()
    monkeypatch.setattr(bases, "_from_hub", lambda name, revision: tiny_base)
    run = predgen.load("me/stars", revision="main")
    assert run.predict(TEXTS) == fitted.run.predict(TEXTS)
    assert np.allclose(
        predgen.PredGenRegressor.load("me/stars").predict(TEXTS), [p.prediction for p in run.predict(TEXTS)]
    )


def test_no_folder_of_this_machine_goes_up(hub: Hub, tiny_base: Path, tmp_path: Path) -> None:
    """Nor do that of the data sets and that of a base whose weights the run has made its own."""
    private = tmp_path / "private-place"
    shutil.copytree(tiny_base, private / "base")
    rows = [{"text": f"The film {n} was {('good', 'bad')[n % 2]}", "stars": n % 5 / 2} for n in range(40)]
    (private / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assignments = [f"data.source={private / 'rows.jsonl'}", f"data.root={private / 'data'}", "data.target=stars"]
    assignments += [f"out={private / 'run'}", f"model.name={private / 'base'}", "peft.method=full", "method=generator"]
    fitted = fit(
        load_config(assignments=[*assignments, "train.max_steps=1"]), say=lambda line: None, show_progress=False
    )
    fitted.run.push_to_hub("me/stars")
    for file in (hub.root / "me" / "stars").rglob("*"):
        if file.suffix in (".json", ".yaml", ".md", ".txt", ".jsonl"):
            assert "private-place" not in file.read_text(), file.name
    assert predgen.load("me/stars").predict(TEXTS) == fitted.run.predict(TEXTS)


def test_the_card_is_what_the_hub_reads(fitted: Fitted, hub: Hub) -> None:
    fitted.run.push_to_hub("me/stars")
    card = ModelCard.load(hub.root / "me" / "stars" / "README.md")
    assert (card.data.base_model, card.data.library_name, card.data.model_name) == ("someone/tiny", "peft", "me/stars")
    assert {"predgen", "regression", "lora"} <= set(card.data.tags)
    test = fitted.metrics["test"]
    expected = test["decisions"][test["decision"]]
    found = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert found["mae"] == pytest.approx(expected["mae"], abs=1e-6)
    assert found["mse"] == pytest.approx(expected["mse"], abs=1e-6)
    assert {result.dataset_name for result in card.data.eval_results} == {f"rows.jsonl, {test['rows']} rows"}
    assert {result.dataset_split for result in card.data.eval_results} == {"test"}
    for words in (
        'predgen.load("me/stars")',
        "stars is always a number from 0 to 2",
        "not calibrated",
        "10.18653/v1/2025.acl-long.1303",
        "Checkpoint (step",
    ):
        assert words in card.text


def test_a_card_says_where_a_run_is_no_use(fitted: Fitted, tmp_path: Path) -> None:
    worse = {"decision": "mean", "decisions": {"mean": {"mae": 0.9}}, "baseline": {"median": {"mae": 0.8}}, "rows": 3}
    write_card(tmp_path, fitted.run, {"test": worse})
    assert "no better on the test rows than a constant" in (tmp_path / "README.md").read_text()
    worse["baseline"] = {"median": {"mae": 1.0}}
    write_card(tmp_path, fitted.run, {"test": worse})
    assert "than a constant" not in (tmp_path / "README.md").read_text().split("## Limits")[1]
    write_card(tmp_path, fitted.run, {})
    text = (tmp_path / "README.md").read_text()
    assert "No test rows were held out" in text and ModelCard(text).data.eval_results is None


def test_what_cannot_be_pushed(fitted: Fitted, hub: Hub, tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="no hub id"):
        fitted.run.push_to_hub("stars")
    with pytest.raises(HubError, match=r"403 Forbidden.*token"):
        fitted.run.push_to_hub("forbidden/stars")
    local = tmp_path / "run"
    shutil.copytree(fitted.folder, local)
    record = json.loads((local / "predgen.json").read_text())
    record["config"]["model"]["name"] = str(tiny_base)
    (local / "predgen.json").write_text(json.dumps(record))
    from dataclasses import replace

    with pytest.raises(HubError, match="which others do not have"):
        replace(fitted.run, folder=local).push_to_hub("me/stars")
    assert not hub.made
    with pytest.raises(predgen.PredgenError, match="no folder of its own"):
        replace(fitted.run, folder=None).push_to_hub("me/stars")


def test_folders_win_and_ids_that_are_none_are_refused(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "stars").mkdir(parents=True)
    assert located("runs/stars") == Path("runs/stars")
    assert located("/no/such/folder") == Path("/no/such/folder")
    with pytest.raises(RunFolderError, match="no run folder runs/strs"):
        predgen.load("runs/strs")  # mistyped, and not looked for elsewhere
    with pytest.raises(HubError, match="no folder no/such, and the hub gave no run"):
        predgen.load("no/such")
