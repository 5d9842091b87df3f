from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from predgen.downloads import cache_folder, fetch_package, publish, sha256_of
from predgen.errors import DownloadError

RACER = """
import sys, time
from pathlib import Path
from predgen.downloads import publish

def build(folder):
    with open(sys.argv[2], "a") as log:
        log.write("built\\n")
    (folder / "half").write_text("1")
    time.sleep(1)
    (folder / "whole").write_text("2")

target = publish(Path(sys.argv[1]), build)
assert (target / "whole").read_text() == "2"
"""


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREDGEN_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("PREDGEN_CACHE")
    assert cache_folder().name == "predgen"


def test_two_processes_at_once_build_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACER, str(tmp_path / "cache" / "target"), str(tmp_path / "log")]
    racers = [subprocess.Popen(command) for _ in range(2)]
    assert [racer.wait(timeout=60) for racer in racers] == [0, 0]
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_build_that_fails_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("1")
        raise RuntimeError("disk full")

    target = tmp_path / "target"
    with pytest.raises(RuntimeError, match="disk full"):
        publish(target, fail)
    assert not target.exists()
    (tmp_path / ".target.part-killed").mkdir()
    publish(target, lambda folder: (folder / "whole").touch())
    assert [path.name for path in target.iterdir()] == ["whole"]
    assert not (tmp_path / ".target.part-killed").exists()


def test_a_finished_target_is_not_built_again(tmp_path: Path) -> None:
    def forbidden(folder: Path) -> None:
        raise AssertionError("built twice")

    assert publish(tmp_path, forbidden) == tmp_path


def test_sha256_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_pip_failures_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # no network
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(DownloadError, match=r"could not download nothing-such==1\.0"):
        fetch_package("nothing-such==1.0", "0" * 64, "wheel", tmp_path)


def test_another_hash_is_refused_by_pip_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, into = tmp_path / "shelf", tmp_path / "into"
    shelf.mkdir()
    into.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    wheel = shelf / "tiny-1.0-py3-none-any.whl"
    write_wheel(wheel)
    with pytest.raises(DownloadError, match="DO NOT MATCH"):
        fetch_package("tiny==1.0", "0" * 64, "wheel", into)
    assert list(into.iterdir()) == []
    fetched = fetch_package("tiny==1.0", sha256_of(wheel), "wheel", into)
    assert fetched == into / wheel.name


def write_wheel(path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny.py", "")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
