"""Runs on the Hugging Face hub: a run folder goes up without what tells of the machine, and comes down checked."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from predgen.config_reading import config_from_dict
from predgen.errors import HubError, RunFolderError
from predgen.model.bases import HUB_ID, is_folder, public_name
from predgen.peft_methods import peft_method
from predgen.training.run_folder import (
    CHECKPOINTS,
    CONFIG,
    RECORD,
    SPLITS,
    read_checked,
    read_json,
    write_json,
)

# What a run is made of, in the formats that are read; whatever else lies in a repository stays there.
_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.yaml", "*.md", "*.png"]
_LEFT_OUT = (CHECKPOINTS, "tensorboard", "*.part")
_PLACES = ("source", "dev", "eval", "out", "root")  # settings and facts that name files
_MODELS = ("model", "base")  # those whose name may be a folder


def located(path: str | Path, revision: str | None = None) -> Path:
    """A run folder: a local one, which wins, or one fetched from the hub by its id.

    Args:
        path: A folder, or ``owner/name``; a name beside folders that are there is taken for one of them, mistyped.
        revision: Of a hub id: a branch, tag or commit.

    Raises:
        HubError: If there is no such folder and the id cannot be fetched.
    """
    folder = Path(path).expanduser()
    if folder.exists() or folder.parent.is_dir() or not HUB_ID.fullmatch(str(path)):
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(path), revision=revision, allow_patterns=_WANTED))
    except Exception as problem:  # the hub's client raises a dozen kinds, those of its HTTP library among them
        raise HubError(
            f"There is no folder {path}, and the hub gave no run of that id: {type(problem).__name__}.",
            "Expected a run folder, or the id of one that was pushed.",
            "Check the name, and that the hub can be reached (a private run needs a login).",
        ) from problem


def push(
    folder: Path,
    repo_id: str,
    write_card: Callable[[Path], None],
    private: bool = False,
    token: str | None = None,
    revision: str | None = None,
    message: str = "A predgen run",
    create_pr: bool = False,
) -> str:
    """Uploads a run folder.

    Args:
        folder: The run folder.
        repo_id: ``owner/name``; made if it is not there.
        write_card: Writes the model card into the folder that is uploaded.
        private: Of a repository that is made.
        token: Of the hub; None: the one that is logged in.
        revision: The branch to commit to.
        message: Of the commit.
        create_pr: Commit to a pull request.

    Returns:
        The commit's address.

    Raises:
        HubError: If the id is none, others could not have the base model, or the hub refuses.
        RunFolderError: If the folder is no run.
    """
    if not HUB_ID.fullmatch(repo_id):
        raise HubError(f"{repo_id!r} is no hub id.", "Expected owner/name.")
    _check_base(folder)
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory(prefix="predgen-") as place:
        staged = Path(place) / "run"
        shutil.copytree(folder, staged, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        without_places(staged)
        write_card(staged)
        try:
            api = HfApi(token=token)
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=staged,
                commit_message=message,
                revision=revision,
                create_pr=create_pr,
                allow_patterns=_WANTED,
            )
        except Exception as problem:
            raise HubError(
                f"The hub did not take {repo_id}: {type(problem).__name__}: {str(problem).strip().splitlines()[0]}",
                remedy="Log in (`hf auth login`), or give a token that may write there.",
            ) from problem
    return str(commit.pr_url if create_pr and commit.pr_url else commit.commit_url)


def _check_base(folder: Path) -> None:
    """Refuses a run whose base model nobody else has."""
    record = read_checked(folder)
    config = config_from_dict(record["config"], where=str(folder))
    name = config.model.name
    if not peft_method(config.peft.method).whole and is_folder(name):
        raise HubError(
            f"This run's base model is the folder {name}, which others do not have.",
            "Expected a hub id, or a name that `predgen models` lists.",
            "Push the base and fit on its id, or push a merged model (`predgen export --merged`).",
        )


def without_places(folder: Path) -> None:
    """Leaves of every path in a run's settings and facts the last part: where files lay is nobody's business.

    Args:
        folder: A run folder, which is changed.

    Raises:
        RunFolderError: If it is damaged.
    """
    for name in (RECORD, SPLITS):
        write_json(folder / name, _named_only(read_json(folder, name)))
    try:
        settings = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as problem:
        raise RunFolderError(f"{folder / CONFIG} is damaged: {problem}") from problem
    text = yaml.safe_dump(_named_only(settings), sort_keys=False, allow_unicode=True, width=110)
    (folder / CONFIG).write_text(text, encoding="utf-8")


def _named_only(value: Any) -> Any:
    if isinstance(value, list):
        return [_named_only(each) for each in value]
    if not isinstance(value, dict):
        return value
    named: dict[str, Any] = {}
    for key, inner in value.items():
        if key in _PLACES and isinstance(inner, str):
            named[key] = Path(inner).name
        elif key in _MODELS and isinstance(inner, dict) and isinstance(inner.get("name"), str):
            named[key] = {**inner, "name": public_name(inner["name"])}
        else:
            named[key] = _named_only(inner)
    return named
