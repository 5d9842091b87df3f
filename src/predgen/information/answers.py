"""What a run says of one prompt with some of its tokens left out, many such prompts at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from predgen.answers.build import Table
from predgen.answers.free_table import FreeTable
from predgen.answers.spaces import FreeNumber, LabelSet
from predgen.answers.tables import AnswerTable
from predgen.data.batches import pad_prompts
from predgen.decoding.decode import decode
from predgen.errors import ConfigError
from predgen.information.leave_out import ReadPrompts, Stretch, read_whole, read_without
from predgen.model.baselines import ReadPrompt
from predgen.model.outputs import Scores
from predgen.model.writer import Writer
from predgen.run import Run

Floats = NDArray[np.float64]
_TOKENS = 512  # most tokens of a pass
A_PASS = 8  # tokens that a pass of a few tails counts for besides its own: all weights are read for it


class Said(NamedTuple):
    """A run's calibrated answer to S variants of a prompt."""

    log_probs: Floats | None  # (S, A) over the answers; None where the run has only a number
    value: Floats | None  # (S,) the number: the distribution's mean, or a head's; None for classes


def check_explainable(run: Run) -> None:
    """Refuses a run whose answer is neither a distribution nor a head's number.

    Raises:
        ConfigError: For free numbers, which are written and have no distribution.
    """
    if isinstance(getattr(run.method, "table", None), FreeTable):
        raise ConfigError(
            "Free numbers have no distribution, so that leaving a word out changes none.",
            remedy="Use --estimator hidden, or fit with space.kind=grid.",
        )


def check_shared(run: Run) -> None:
    """Refuses a run that answers with each row's own options.

    Raises:
        ConfigError: States and probabilities are read of answers that all rows share.
    """
    if run.option_columns:
        raise ConfigError(
            f"This run answers with each row's own options (space.style={run.record.config['space']['style']}).",
            "States and probabilities are read here of answers that all rows share.",
        )


def said_under(run: Run, ids: Sequence[int], masks: Tensor) -> Said:
    """The answers to a prompt seen through masks; what is masked is as if it had never been there.

    Args:
        run: A fitted run.
        ids: The prompt, n tokens.
        masks: (S, n), 1 on what is there; every row has its last token.
    """
    method: Any = run.method
    prompts = [[token for token, there in zip(ids, mask, strict=True) if there] for mask in masks.tolist()]
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))  # little padding
    step, parts = max(1, _TOKENS // len(ids)), []
    for start in range(0, len(prompts), step):
        batch = pad_prompts([prompts[row] for row in order[start : start + step]])
        parts.append(method.score(batch.prompt_ids.to(_device(run)), batch.prompt_mask.to(_device(run))))
    back = np.argsort(order)
    return Said(*(None if part is None else part[back] for part in _said(run, Scores.joined(parts))))


class Occlusion:
    """A prompt that is read once, and answered with and without stretches of it.

    What stands before a stretch is not read again. A variant is answered exactly as `said_under` answers it.

    Args:
        run: A fitted run.
        ids: The prompt, n tokens.
    """

    def __init__(self, run: Run, ids: Sequence[int]) -> None:
        self._run, self._ids = run, list(ids)
        method: Any = run.method
        self._writer: Writer = method.writer
        self._nodes = _nodes(getattr(method, "table", None))
        with torch.no_grad():
            self._read = read_whole(self._writer, self._ids, _device(run), states=not hasattr(method, "table"))
            self.whole = _said(run, _scores(run, self._read))
        self.tokens = self.plain  # read so far, and `A_PASS` a call

    @property
    def plain(self) -> int:
        """Tokens that a plain prediction of the whole prompt reads, those of the answers' tree included."""
        return len(self._ids) + self._nodes

    def cost(self, stretch: Stretch) -> int:
        """Tokens that it takes to leave a stretch out."""
        start, stop = stretch
        shared = stop if self._read.prefix.keys else stop - start
        return len(self._ids) - shared + self._nodes

    def without(self, stretches: Sequence[Stretch]) -> Said:
        """The answers without each of S ≥ 1 stretches, none of them with the prompt's last token."""
        with torch.no_grad():
            parts = read_without(self._writer, self._read, self._ids, stretches)
            scores = Scores.joined([_scores(self._run, part) for part in parts])
        self.tokens += A_PASS + sum(map(self.cost, stretches))
        return _said(self._run, scores)


def said_without(run: Run, ids: Sequence[int], stretches: Sequence[Stretch]) -> Said:
    """The answers to a prompt as it is, and then without each of some stretches of it.

    Args:
        run: A fitted run.
        ids: The prompt, n tokens.
        stretches: (start, stop) each, none with the prompt's last token.

    Returns:
        Of 1 + S variants, the whole prompt first.
    """
    occlusion = Occlusion(run, ids)
    return together([occlusion.whole, *([occlusion.without(stretches)] if stretches else [])])


def together(parts: Sequence[Said]) -> Said:
    """The variants of several, one behind the other."""

    def joined(column: Sequence[Floats | None]) -> Floats | None:
        there = [part for part in column if part is not None]
        return np.concatenate(there) if there else None

    return Said(joined([part.log_probs for part in parts]), joined([part.value for part in parts]))


def divergences(whole: Floats, others: Floats) -> list[float]:
    """D(p ‖ q) in nats of one distribution, (1, A) log-probabilities, from each of S others, (S, A)."""
    found: list[float] = (np.exp(whole) * (whole - others)).sum(axis=1).clip(min=0.0).tolist()
    return found


def _scores(run: Run, read: ReadPrompts) -> Scores:
    method: Any = run.method
    if read.states is not None:
        scores: Scores = method.judge(ReadPrompt(read.states, read.mask))
        return scores
    # Without a director: the map is of the writer's posterior.
    return decode(method.writer, read.prefix, method.table, method.writer_loss.normalise).scores


def _nodes(table: Table | None) -> int:
    """Tokens that are read behind every prompt; those of a search are not known beforehand and not counted."""
    return table.inner.shape[0] if isinstance(table, AnswerTable) and table.exact else 0


def _said(run: Run, scores: Scores) -> Said:
    scores = run.calibration.apply(scores.cpu(), run.space)
    if isinstance(run.space, LabelSet):
        logs = scores.log_posterior if scores.log_posterior is not None else scores.class_logits
        assert logs is not None
        return Said(np.asarray(logs.double().log_softmax(dim=1).numpy()), None)
    if scores.support is not None:
        found = scores.support
        return Said(None, np.asarray((found.log_probs.exp() * found.values).sum(dim=1).numpy()))
    if scores.log_posterior is not None and not isinstance(run.space, FreeNumber):
        logs = scores.log_posterior.double().log_softmax(dim=1)
        mean = logs.exp() @ torch.tensor(run.space.values, dtype=torch.float64)
        return Said(np.asarray(logs.numpy()), np.asarray(mean.numpy()))
    assert scores.value is not None
    return Said(None, np.asarray(scores.value.double().numpy()))


def _device(run: Run) -> torch.device:
    device: torch.device = next(run.method.parameters()).device
    return device
