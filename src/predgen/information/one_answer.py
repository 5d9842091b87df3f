"""Of a run, the one answer that is to be looked into."""

from __future__ import annotations

import dataclasses

from predgen.base_run import BaseRun
from predgen.data.columns import TargetField
from predgen.errors import ConfigError, nearest
from predgen.model.record import CuedMethod
from predgen.record_run import RecordRun
from predgen.run import Run


@dataclasses.dataclass(frozen=True)
class OneAnswer:
    """A run of one answer, and how its targets are read.

    Args:
        run: With the plain method behind the prompt; of a field the prompt goes on to the end of the field's cue.
        target: How the truth is read from rows.
        field: The field's name; None where the run gives one answer anyway.
    """

    run: Run
    target: TargetField
    field: str | None = None


def one_answer(loaded: BaseRun, field: str | None) -> OneAnswer:
    """Takes a field of a run that gives several answers, or the run itself where there is one.

    Args:
        loaded: A run.
        field: The name of a field, or of a label where there are several; None where the run gives one answer.

    Raises:
        ConfigError: If the run has no such field, or has several and none is named.
    """
    if isinstance(loaded, Run):
        (target,) = loaded.targets
        if field not in (None, target.name):
            raise ConfigError(f"This run has no field {field!r}.", f"It gives one answer, {target.name!r}.")
        return OneAnswer(loaded, target)
    assert isinstance(loaded, RecordRun)
    names = ", ".join(repr(name) for name in loaded.runs)
    if field is None:
        raise ConfigError(
            f"This run gives several answers: {names}.",
            "One of them at a time can be looked into.",
            "Use --field NAME.",
        )
    if field not in loaded.runs:
        raise ConfigError(f"This run has no field {field!r}; it has {names}.", nearest(field, loaded.runs))
    run, target = loaded.runs[field], next(each for each in loaded.targets if each.name == field)
    cued = run.method
    assert isinstance(cued, CuedMethod)
    encoder = run.encoder.with_behind(cued.cue)
    return OneAnswer(dataclasses.replace(run, method=cued.method, encoder=encoder), target, field)
