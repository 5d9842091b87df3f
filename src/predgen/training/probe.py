"""Where the writer starts: at the base as it is, or with a probe on the answers' tokens, which training leaves alone.

The probe is fitted before the first step, and kept in the run folder: a run that goes on reads it there, and so does
whoever loads the run. `predgen.training.refit` may put another in its place once training is over.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from predgen.answers.tables import AnswerTable
from predgen.config import RunConfig, WriterStart
from predgen.data.batches import TrainingRow
from predgen.decoding.score import is_one_stretch
from predgen.downloads import sha256_of
from predgen.errors import ConfigError, RunFolderError
from predgen.model.method import WritingMethod
from predgen.model.probe import Gold, fit_probe, read_states, rows_to_fit
from predgen.model.writer import Writer
from predgen.peft_methods import peft_method
from predgen.processes import Processes
from predgen.training.run_folder import PROBE

Say = Callable[[str], None]

FEWEST_ROWS = 20  # of fewer no share can be held out that says anything


def check_start(method: nn.Module, rows: int, config: RunConfig) -> None:
    """Refuses a probe that is asked for where none can be fitted, before anything is written.

    Raises:
        ConfigError: The message says why.
    """
    reason = why_no_probe(method, rows, config) if config.writer.start == "probe" else None
    if reason is not None:
        raise ConfigError("writer.start=probe cannot be had here:", reason, "Leave writer.start out.")


def start_writer(
    method: nn.Module,
    rows: Sequence[TrainingRow],
    start: WriterStart,
    config: RunConfig,
    folder: Path,
    processes: Processes,
    say: Say,
) -> None:
    """Fits the probe that the settings mean, writes it to the run folder and puts it into the writer.

    Args:
        method: Before its first step.
        rows: That it will be trained on.
        start: Where it starts.
        config: The settings.
        folder: The run folder; the main process writes there.
        processes: That work together; the main one's probe is everyone's.
        say: Takes one line at a time.
    """
    if processes.main and start == "probe":
        reason = why_no_probe(method, len(rows), config)
        if reason is None:
            _fit(method, rows, config, folder, say)
        else:
            say(f"The writer starts as its base, without a probe. {reason} (writer.start)")
    share_probe(method, folder, processes)


def share_probe(method: nn.Module, folder: Path, processes: Processes) -> None:
    """Puts the run folder's probe, as the main process finds it, into every process's writer; there may be none."""
    put_probe(method, processes.gathered(read_probe(folder) if processes.main else None)[0])


def check_probe(folder: Path, expected: str) -> None:
    """Whether a run folder's probe is the one that the run was trained with.

    Args:
        folder: The run folder.
        expected: The file's SHA-256.

    Raises:
        RunFolderError: If it is missing or another.
    """
    found = probe_sha256(folder)
    if found != expected:
        raise RunFolderError(
            f"{folder / PROBE} is {'missing' if found is None else 'not the one that the run was trained with'}.",
            remedy="Restore it from a copy, or fit again.",
        )


def read_probe(folder: Path) -> dict[str, Tensor] | None:
    """A run folder's probe: its tokens, and what is added to their output weights; None where it has none."""
    return load_file(folder / PROBE) if (folder / PROBE).exists() else None


def put_probe(method: nn.Module, probe: dict[str, Tensor] | None) -> None:
    """Puts a probe, if there is one, into the writer of a method built for the same answers."""
    if probe is None:
        return
    writer = method.writer
    assert isinstance(writer, Writer) and writer.projection is not None
    assert torch.equal(probe["tokens"], writer.projection.tokens.cpu())
    writer.projection.probe = probe["weight"].to(writer.projection.tokens.device)


def copy_probe(origin: Path, folder: Path) -> None:
    """Takes over the probe of a run that training starts from, if it has one."""
    if (origin / PROBE).exists():
        shutil.copy2(origin / PROBE, folder / PROBE)


def probe_sha256(folder: Path) -> str | None:
    """Of a run folder's probe; None where it has none."""
    return sha256_of(folder / PROBE) if (folder / PROBE).exists() else None


def _fit(method: nn.Module, rows: Sequence[TrainingRow], config: RunConfig, folder: Path, say: Say) -> None:
    assert isinstance(method, WritingMethod) and isinstance(method.table, AnswerTable)
    started = time.monotonic()
    states, gold = states_to_fit(method, rows, config)
    probe = fit_probe(method.writer, method.table, states, gold, method.posterior_loss, config.train.seed)
    seconds = f"{time.monotonic() - started:.0f} s"
    if probe is None:
        say(f"The writer starts as its base: a probe on {len(states)} rows did no better ({seconds}).")
        return
    write_probe(method.writer, probe.weight, folder)
    say(
        f"The writer starts from a probe of its base on {len(states)} rows, cross-validated loss "
        f"{probe.base_loss:.3f} → {probe.loss:.3f} ({seconds}). (writer.start)"
    )


def states_to_fit(method: WritingMethod, rows: Sequence[TrainingRow], config: RunConfig) -> tuple[Tensor, Gold]:
    """The states that a probe is fitted to, and what they should say: of all training rows, or as many as pay.

    Args:
        method: One that has a probe's table.
        rows: The training rows.
        config: The settings.
    """
    writer, table = method.writer, method.table
    assert isinstance(table, AnswerTable)
    places = (1 + table.inner.shape[0]) * writer.hidden_size
    chosen = [rows[row] for row in rows_to_fit(len(rows), places, config.train.seed)]
    states = read_states(writer, table, [row.ids for row in chosen], config.train.eval_batch_size)
    device = states.device
    return states, Gold(
        torch.tensor([row.answer_index for row in chosen], device=device),
        torch.tensor([row.target for row in chosen], device=device, dtype=torch.float32),
        torch.tensor([row.weight for row in chosen], device=device, dtype=torch.float32),
    )


def write_probe(writer: Writer, weight: Tensor, folder: Path) -> None:
    """Writes a probe to a run folder, in place of the one that is there, if any; a kill leaves one of the two.

    Args:
        writer: Whose answers' tokens it is for.
        weight: (C, d), to be added to their output weights.
        folder: The run folder.
    """
    assert writer.projection is not None
    unfinished = folder / f"{PROBE}.part"
    save_file({"tokens": writer.projection.tokens.cpu(), "weight": weight.cpu()}, unfinished)
    unfinished.replace(folder / PROBE)


def why_no_probe(method: nn.Module, rows: int, config: RunConfig) -> str | None:
    """What keeps a method from having a probe, if anything does."""
    if peft_method(config.peft.method).whole:
        return "All weights learn, those of the output among them, and stand in the run folder as a plain model."
    if not isinstance(method, WritingMethod):
        return "The method gives several answers to a row, or writes none."
    if not isinstance(method.table, AnswerTable) or not is_one_stretch(method.writer, method.table):
        return "The answers are not listed, or are too many to be read in one pass."
    if method.writer.projection is None:
        return "The writer's logits are no plain product of its states, or the whole vocabulary is asked for."
    if rows < FEWEST_ROWS:
        return f"There are {rows} training rows, fewer than {FEWEST_ROWS}."
    return None
