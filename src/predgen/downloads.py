"""Files from the Python package index, fetched by pip, and the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from predgen.errors import DownloadError


def cache_folder() -> Path:
    """Where downloads are kept: ``$PREDGEN_CACHE``, else the platform's cache directory."""
    named = os.environ.get("PREDGEN_CACHE")
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("predgen"))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_package(requirement: str, sha256: str, kind: Literal["wheel", "sdist"], into: Path) -> Path:
    """Downloads one package archive with pip, without its dependencies.

    The hash goes to pip itself, which then refuses any other file before anything of it runs: for an sdist, pip runs
    its setup to learn the metadata.

    Args:
        requirement: Name and version, e.g. ``"vaderSentiment==3.3.2"``.
        sha256: Of the archive.
        kind: Which archive.
        into: An existing folder.

    Returns:
        The archive.

    Raises:
        DownloadError: If pip is missing, cannot fetch it, or finds a file of another hash.
    """
    if find_spec("pip") is None:
        raise DownloadError(
            f"{requirement} cannot be fetched: this Python ({sys.executable}) has no pip.",
            remedy="Run `python -m ensurepip`, then try again.",
        )
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "requirements.txt"
        pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
        form = ["--only-binary", ":all:"] if kind == "wheel" else ["--no-binary", ":all:"]
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--require-hashes",
            "--disable-pip-version-check",
        ]
        result = subprocess.run(
            [*command, *form, "--dest", str(into), "--requirement", str(pinned)], capture_output=True, text=True
        )
    if result.returncode != 0:
        last = "\n  ".join((result.stderr or result.stdout).strip().splitlines()[-4:])
        raise DownloadError(
            f"pip could not download {requirement}:\n  {last}\n",
            remedy="Check the connection to the package index (pip's own settings and PIP_* variables are used).",
        )
    name = requirement.partition("==")[0].replace("-", "_").lower()
    found = [path for path in into.iterdir() if path.name.replace("-", "_").lower().startswith(name)]
    if len(found) != 1 or sha256_of(found[0]) != sha256:
        raise DownloadError(f"pip downloaded {[path.name for path in found]} for {requirement}, not the pinned file.")
    return found[0]


def publish(target: Path, build: Callable[[Path], None]) -> Path:
    """Makes a folder once, whole or not at all.

    Two processes that start at once build it once: the second waits and finds it. A build that dies leaves nothing at
    the target; its remains are removed by the next one.

    Args:
        target: The folder that should exist.
        build: Fills an empty folder it is given.

    Returns:
        The target.
    """
    if target.exists():
        return target
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        if target.exists():
            return target
        for remains in target.parent.glob(f".{target.name}.part-*"):
            shutil.rmtree(remains, ignore_errors=True)  # we hold the lock, so nobody is building there
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.part-", dir=target.parent))
        try:
            build(part)
            part.chmod(0o755)  # mkdtemp makes private folders
            part.rename(target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return target
