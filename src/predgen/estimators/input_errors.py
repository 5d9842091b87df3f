"""predgen's errors as scikit-learn's tools expect them: a wrong value is a ValueError, a wrong type a TypeError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from predgen.errors import AnswerError, ConfigError, DataError, Interrupted, PredgenError


class InputError(PredgenError, ValueError):
    """Rows, targets or arguments of an estimator cannot be used as they are."""


class InputTypeError(PredgenError, TypeError):
    """What was given to an estimator is of a kind that it does not take."""


@contextmanager
def as_input_errors() -> Iterator[None]:
    """Turns what the fit path says of settings, rows and answers into an `InputError` of the same words.

    Ctrl-C, which the fit path turns into a message on how to resume, becomes a KeyboardInterrupt again: an estimator's
    temporary folder cannot be resumed, and a search over settings must end instead of counting it as a failed fit.
    """
    try:
        yield
    except Interrupted as stop:
        raise KeyboardInterrupt from stop
    except (AnswerError, ConfigError, DataError) as problem:
        raise InputError(problem.found, problem.expected, problem.remedy) from problem
