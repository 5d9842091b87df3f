"""The run that a fitted estimator holds: a run folder of its own, which goes where the estimator goes."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from predgen.loading import load_single
from predgen.run import Run
from predgen.training.run_folder import CHECKPOINTS


class KeptRun:
    """A run folder, and the run that was loaded from it.

    The folder is temporary unless a user named one, and is removed together with the last reference to this. Pickled,
    it is the folder's files as bytes: safetensors, JSON, tokenizer and settings; no tensor or module is pickled. They
    are written to a new temporary folder, and the base model is loaded, when a copy is first used.

    Args:
        run: What `fit` gave, or None to load it on first use.
        folder: Where it lies; None for a new temporary folder.
    """

    def __init__(self, run: Run | None = None, folder: Path | None = None) -> None:
        self._run, self._files, self._batch_size = run, dict[str, bytes](), 32
        self._folder = folder

    @classmethod
    def in_new_folder(cls) -> KeptRun:
        """One whose folder is there and empty, for `fit` to write to."""
        kept = cls()
        kept._make_folder()
        return kept

    @property
    def folder(self) -> Path:
        """The run folder."""
        if self._folder is None:
            folder = self._make_folder()
            for name, content in self._files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            self._files = {}
        assert self._folder is not None
        return self._folder

    @property
    def run(self) -> Run:
        """The run, loaded if it is not."""
        if self._run is None:
            self._run = load_single(self.folder, self._batch_size)
        return self._run

    def hold(self, run: Run) -> None:
        """Takes the run that `fit` made in this folder."""
        self._run = run

    def copy_to(self, folder: Path) -> None:
        """Copies the run folder."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(CHECKPOINTS))

    def __getstate__(self) -> dict[str, Any]:
        files = self._files if self._folder is None else _read(self._folder)
        return {"files": files, "batch_size": self._run.batch_size if self._run is not None else self._batch_size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._run, self._folder = None, None
        self._files, self._batch_size = state["files"], state["batch_size"]

    def _make_folder(self) -> Path:
        root = Path(tempfile.mkdtemp(prefix="predgen-"))
        self._folder = root / "run"
        self._folder.mkdir()
        weakref.finalize(self, _remove, root, os.getpid())
        return self._folder


def _read(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _remove(root: Path, owner: int) -> None:
    # A forked process has the parent's finalisers, and must leave the parent's folders alone.
    if os.getpid() == owner:
        shutil.rmtree(root, ignore_errors=True)
