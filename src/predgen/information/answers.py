"""What a run says of one prompt with some of its tokens left out, many such prompts at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from predgen.answers.build import Table
from predgen.answers.free_table import FreeTable
from predgen.answers.spaces import FreeNumber, LabelSet
from predgen.config import Normalise
from predgen.data.batches import pad_prompts
from predgen.decoding.score import score_trie
from predgen.errors import ConfigError
from predgen.model.outputs import Scores
from predgen.model.writer import Prefix, Writer
from predgen.run import Run

Floats = NDArray[np.float64]
_GROUP = 8  # left-out stretches that share a prefix; larger groups read more twice, smaller ones make more passes
_TOKENS = 4096  # most tokens of a pass


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
    step, parts = max(1, _TOKENS // len(ids)), []
    for start in range(0, len(prompts), step):
        batch = pad_prompts(prompts[start : start + step])
        parts.append(method.score(batch.prompt_ids.to(_device(run)), batch.prompt_mask.to(_device(run))))
    return _said(run, Scores.joined(parts))


def said_without(run: Run, ids: Sequence[int], stretches: Sequence[tuple[int, int]]) -> Said:
    """The answers to a prompt as it is, and then without each of some stretches of it.

    What stands before a stretch is read once and shared; only what stands behind it is read anew. Exactly as
    `said_under` with one masked stretch a row.

    Args:
        run: A fitted run.
        ids: The prompt, n tokens.
        stretches: (start, stop) each, ascending, none with the prompt's last token.

    Returns:
        Of 1 + S variants, the whole prompt first.
    """
    method: Any = run.method
    if not hasattr(method, "table"):
        return said_under(run, ids, masks_without(len(ids), stretches))
    with torch.no_grad():
        scores = scores_without(method.writer, method.table, method.writer_loss.normalise, ids, stretches, _device(run))
    return _said(run, scores)


def scores_without(
    writer: Writer,
    table: Table,
    normalise: Normalise,
    ids: Sequence[int],
    stretches: Sequence[tuple[int, int]],
    device: torch.device,
) -> Scores:
    """The posterior behind a prompt as it is, and then without each of some stretches; see `said_without`."""
    prompt = torch.tensor(ids, device=device)[None]
    masks = masks_without(len(ids), stretches).to(device)
    # A sliding window is counted in columns, those of left-out tokens too: there they must really be gone.
    shares = writer.windows is None
    shared: Prefix | None = None  # the tokens before the group at hand
    read, parts = 0, list[Prefix]()
    groups = [(0, 1), *((first, min(first + _GROUP, len(masks))) for first in range(1, len(masks), _GROUP))]
    for first, last in groups:
        mask = masks[first:last]
        start = stretches[first - 1][0] if first else 0
        if not start or not shares:
            # Nothing is shared by the whole prompt and by those without its first word.
            kept = [prompt[0, row.bool()].tolist() for row in mask]
            batch = pad_prompts(kept)
            parts.append(writer.prefill(batch.prompt_ids.to(device), batch.prompt_mask.to(device)))
            continue
        if shared is None:
            shared = writer.prefill(prompt[:, :start], masks[:1, :start])
        elif start > read:
            shared = writer.read_on(shared, prompt[:, read:start], masks[:1, read:start])
        read = start
        rest = prompt[:, start:].expand(len(mask), -1)
        parts.append(writer.read_on(_repeated(shared, len(mask)), rest, mask[:, start:]))
    scored = [score_trie(writer, part, cast(Any, table), normalise) for part in parts]
    return Scores.nothing()._replace(
        log_posterior=torch.cat([part.log_posterior for part in scored]),
        greedy=torch.cat([part.greedy for part in scored]),
    )


def _repeated(prefix: Prefix, rows: int) -> Prefix:
    """One row's prefix as that of several; nothing is copied."""
    return Prefix(
        tuple(key.expand(rows, -1, -1, -1) for key in prefix.keys),
        tuple(value.expand(rows, -1, -1, -1) for value in prefix.values),
        prefix.ids.expand(rows, -1),
        prefix.mask.expand(rows, -1),
        prefix.logits.expand(rows, -1),
    )


def masks_without(length: int, stretches: Sequence[tuple[int, int]]) -> Tensor:
    """(1 + S, length): all there, and then each stretch masked."""
    masks = torch.ones(1 + len(stretches), length, dtype=torch.long)
    for row, (start, stop) in enumerate(stretches, start=1):
        masks[row, start:stop] = 0
    return masks


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
