"""The errors that predgen raises; every message says what was found, what was expected, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PredgenError(Exception):
    """Base of all errors that a user can cause and mend.

    Args:
        found: What predgen met.
        expected: What it needs instead; may be empty where `found` says it already.
        remedy: What to do; may be empty where `expected` says it already.
    """

    def __init__(self, found: str, expected: str = "", remedy: str = "") -> None:
        self.found, self.expected, self.remedy = found, expected, remedy
        super().__init__(" ".join(part for part in (found, expected, remedy) if part))


class ConfigError(PredgenError):
    """A setting is unknown, of the wrong type, or does not go with another."""


class DataError(PredgenError):
    """Rows, columns or targets cannot be used as they are."""


class AnswerError(PredgenError):
    """An answer space cannot be built, or a value does not belong to it."""


class ModelError(PredgenError):
    """A base model cannot be found, loaded, or used by this method."""


class DownloadError(PredgenError):
    """A named model or data set could not be fetched, or is not the file it should be."""


class HubError(PredgenError):
    """The hub could not be reached, or would not do what was asked."""


class RunFolderError(PredgenError):
    """A run folder is missing, damaged, foreign, or made with another base model."""


class Interrupted(PredgenError):
    """Work was stopped from outside, and can go on."""


class ProcessLost(PredgenError):
    """Another of the processes that work together is gone."""


class PredgenWarning(UserWarning):
    """Something was decided or changed on the user's behalf, and should be known."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Names what is known, the closest first guess in front.

    Args:
        name: What the user wrote.
        known: The names that would have been accepted.

    Returns:
        A clause such as ``did you mean 'rating'? Known: id, rating, text.``
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}Known: {', '.join(names) or 'none'}."
