"""`--precision`: whether a run that was trained in float32 predicts in bfloat16, on this processor and these rows.

Half the bits are twice as fast where the processor multiplies them itself, and slower where it does not; and how much
they change depends on the run. So `auto` asks both of the rows at hand.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch

from predgen.answers.spaces import LabelSet
from predgen.base_run import BaseRun, Row
from predgen.data.table import BadRow
from predgen.decoding.close import close_calls, largest_move
from predgen.decoding.decide import class_decisions, number_decisions
from predgen.errors import ConfigError, PredgenError
from predgen.model.half import in_bfloat16
from predgen.model.outputs import Scores
from predgen.model.record import RecordMethod
from predgen.model.scale import stored_scale
from predgen.record_run import RecordRun
from predgen.run import Run

Precision = Literal["auto", "fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16")
TRIED_ROWS = 32
FASTER = 1.1  # so much at least, or the difference may be chance
MOST_LOG_P = 0.25  # that a log-probability may move
MOST_VALUE = 0.05  # that a number may move, in standard deviations of the training targets, as heads learn them
FLAGS = ("amx_bf16", "avx512_bf16")


@dataclasses.dataclass(frozen=True)
class Trial:
    """The first rows, scored both ways.

    Args:
        rows: How many.
        faster: The float32 time over bfloat16's.
        log_p: The largest difference of a log-probability, of answers that hold at least 1%; 0 without a distribution.
        value: The largest difference of a decided number, in standard deviations of the training targets; 0 for labels.
        decided: Rows whose decision is another, and not a close one.
    """

    rows: int
    faster: float
    log_p: float
    value: float
    decided: int

    @property
    def agrees(self) -> bool:
        """Whether bfloat16 says what float32 says."""
        return self.log_p <= MOST_LOG_P and self.value <= MOST_VALUE and not self.decided

    def __str__(self) -> str:
        numbers = f", numbers by up to {self.value:.2g} standard deviations" if self.value else ""
        return (
            f"on the first {self.rows} rows bfloat16 is {self.faster:.2f} times as fast, moves log-probabilities by up "
            f"to {self.log_p:.2g}{numbers}, and decides {self.decided} rows otherwise"
        )


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor multiplies bfloat16 itself (AMX or AVX-512, as Linux lists them)."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    return any(flag in flags for flag in FLAGS)


def with_precision(run: BaseRun, asked: str, rows: Sequence[Row | BadRow], say: Callable[[str], None]) -> BaseRun:
    """The run as it is to predict: as it is, or in bfloat16 with the rounding that was seen.

    Args:
        run: Loaded, in the precision it was trained in.
        asked: "fp32", "bf16", or "auto": bfloat16 where the processor has it, and where it is faster and agrees on the
            first rows.
        rows: The first of those to be predicted.
        say: Takes one line at a time.

    Raises:
        ConfigError: If the precision is unknown, or another than that of a run trained in half precision.
    """
    if asked not in PRECISIONS:
        raise ConfigError(f"Unknown precision {asked!r}.", f"Expected one of {', '.join(PRECISIONS)}.")
    trained = precision_of(run)
    if trained != "fp32":
        if asked not in ("auto", "fp32", trained):
            raise ConfigError(f"--precision {asked}, but this run was trained in {trained}.", "It predicts in that.")
        return run
    if asked == "fp32":
        return run
    on_gpu = next(_first(run).method.parameters()).is_cuda
    if asked == "auto" and (on_gpu or not has_bfloat16()):
        what = "on a GPU it is not chosen by itself" if on_gpu else f"this processor has none of {', '.join(FLAGS)}"
        say(f"Precision: fp32; no bfloat16, since {what}.")
        return run
    bodies = list(itertools.islice(_readable(run, rows), TRIED_ROWS))
    if not bodies:
        say("Precision: fp32; none of the first rows can be read, so nothing can be tried.")
        return run
    half = _in_half(run, rounding=0.0)
    trial = try_both(run, half, bodies)
    if asked == "auto" and not (trial.faster >= FASTER and trial.agrees):
        say(f"Precision: fp32; {trial}.")
        return run
    say(f"Precision: bf16; {trial}. Rows whose two likeliest answers lie within that are marked as close.")
    return _with_rounding(half, trial.log_p)


def precision_of(run: BaseRun) -> str:
    """What a run predicts in: fp32, bf16, fp16."""
    part = _first(run)
    trained: str = part.record.config["train"]["precision"]
    return trained if part.rounding is None else "bf16"


def try_both(run: BaseRun, half: BaseRun, bodies: Sequence[str]) -> Trial:
    """Scores rows both ways, once to warm up and then three times in turn; the fastest of each counts.

    Args:
        run: In float32.
        half: The same in bfloat16.
        bodies: Rendered rows, at least one.
    """
    ways, times = (run, half), ([], [])  # type: tuple[BaseRun, BaseRun], tuple[list[float], list[float]]
    scores = [each.score_answers(bodies) for each in ways]
    for _ in range(3):
        for each, taken in zip(ways, times, strict=True):
            started = time.perf_counter()
            each.score_answers_raw(bodies)
            taken.append(time.perf_counter() - started)
    moves = [_compared(part, exact, rounded) for part, exact, rounded in zip(run.parts.values(), *scores, strict=True)]
    log_p, value, decided = (max(column) for column in zip(*moves, strict=True))
    return Trial(len(bodies), min(times[0]) / min(times[1]), log_p, value, int(decided))


def _compared(run: Run, exact: Scores, rounded: Scores) -> tuple[float, float, int]:
    """Of one answer: log_p, value and decided, as `Trial` has them."""
    decision = run.record.decision
    if isinstance(run.space, LabelSet):
        one, other = (class_decisions(each, run.space, run.reader_name)[decision] for each in (exact, rounded))
        moved = largest_move(*(np.log(each.probabilities.clip(1e-300)) for each in (one, other)))
        apart = (one.chosen != other.chosen) & ~close_calls(one.probabilities, moved)
        return moved, 0.0, int(apart.sum())
    first, second = (number_decisions(each, run.space, run.reader_name)[decision].values for each in (exact, rounded))
    moved = 0.0
    if exact.log_posterior is not None and rounded.log_posterior is not None:
        moved = largest_move(*(each.double().cpu().numpy() for each in (exact.log_posterior, rounded.log_posterior)))
    scale = stored_scale(run.space, run.record.mean, run.record.spread or 1.0)
    step = scale.standardise(torch.from_numpy(first)) - scale.standardise(torch.from_numpy(second))
    return moved, float(step.abs().max()), 0


def _first(run: BaseRun) -> Run:
    return next(iter(run.parts.values()))


def _in_half(run: BaseRun, rounding: float) -> BaseRun:
    if isinstance(run, Run):
        return dataclasses.replace(run, method=in_bfloat16(run.method), rounding=rounding)
    assert isinstance(run, RecordRun)
    method = in_bfloat16(cast(RecordMethod, run.method))
    parts = {
        name: dataclasses.replace(part, method=field, rounding=rounding)
        for (name, part), field in zip(run.parts.items(), method.fields, strict=True)
    }
    return dataclasses.replace(run, method=method, runs=parts)


def _with_rounding(run: BaseRun, rounding: float) -> BaseRun:
    if isinstance(run, Run):
        return dataclasses.replace(run, rounding=rounding)
    assert isinstance(run, RecordRun)
    parts = {name: dataclasses.replace(part, rounding=rounding) for name, part in run.parts.items()}
    return dataclasses.replace(run, runs=parts)


def _readable(run: BaseRun, rows: Sequence[Row | BadRow]) -> Iterator[str]:
    for row in rows:
        if not isinstance(row, BadRow):
            with contextlib.suppress(PredgenError):  # a row's error is told when its turn comes
                yield run.body(row)
