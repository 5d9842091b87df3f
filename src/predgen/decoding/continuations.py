"""Each row's own options, scored as continuations of its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from predgen.decoding.score import LOGITS_AT_ONCE, widen
from predgen.model.outputs import Scores
from predgen.model.prefix import Prefix
from predgen.model.writer import Writer

ABSENT = -1e4  # the log-probability of a label that stands for no option of the row: small, and no infinity


class OptionBatch(NamedTuple):
    """The options of B rows, at most K a row, of at most L tokens."""

    ids: Tensor  # (B, K, L) int64, padded on the right
    mask: Tensor  # (B, K, L) bool; all false where a row has fewer options


def pad_options(options: Sequence[Sequence[Sequence[int]]], labels: int) -> OptionBatch:
    """Pads the options of rows.

    Args:
        options: Row → its options → their tokens, each at least one.
        labels: K.
    """
    longest = max(len(option) for row in options for option in row)
    ids = torch.zeros(len(options), labels, longest, dtype=torch.long)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for place, row in enumerate(options):
        for label, option in enumerate(row):
            ids[place, label, : len(option)] = torch.tensor(option)
            mask[place, label, : len(option)] = True
    return OptionBatch(ids, mask)


@torch.no_grad()
def score_options(writer: Writer, prefix: Prefix, options: OptionBatch, terminator: int, per_token: bool) -> Scores:
    """Scores every option behind its row's prompt.

    An option's probability is that of its tokens and of the terminator behind them, so that one option may go on where
    another ends.

    Args:
        writer: The language model.
        prefix: Of B rows, read.
        options: Theirs.
        terminator: The token that ends an answer.
        per_token: Whether log-probabilities are divided by the number of tokens, the terminator counted, before they
            are compared: long options are unlikely whatever they say.

    Returns:
        `log_posterior` (B, K) over the row's options, `greedy` the option whose whole text is likeliest, and `log_mass`
        of all options together.
    """
    rows, labels, longest = options.ids.shape
    size = max(1, LOGITS_AT_ONCE // (labels * (longest + 1) * writer.vocabulary_size))
    sums = torch.cat(
        [
            _log_probs(
                writer,
                prefix.rows(start, start + size),
                options.ids[start : start + size],
                options.mask[start : start + size],
                terminator,
            )
            for start in range(0, rows, size)
        ]
    )
    there = options.mask.any(dim=2)
    tokens = options.mask.sum(dim=2) + 1
    whole = sums.masked_fill(~there, ABSENT)
    compared = (sums / tokens).masked_fill(~there, ABSENT) if per_token else whole
    return Scores.nothing()._replace(
        log_posterior=torch.log_softmax(compared, dim=1),
        log_mass=torch.logsumexp(whole, dim=1),
        greedy=whole.argmax(dim=1),
    )


def _log_probs(writer: Writer, prefix: Prefix, ids: Tensor, mask: Tensor, terminator: int) -> Tensor:
    """(B, K) log-probabilities of whole options; of no use where there is none."""
    rows, labels, longest = ids.shape
    flat, shown = ids.reshape(-1, longest), mask.reshape(-1, longest)
    written = writer.extend(prefix.repeated(labels), flat, shown)
    lengths = shown.sum(dim=1, keepdim=True)
    targets = torch.nn.functional.pad(flat, (0, 1)).scatter(1, lengths, terminator)
    logits = widen(written.logits)
    tokens = logits.gather(2, targets[:, :, None])[:, :, 0] - torch.logsumexp(logits, dim=2)
    counted = torch.arange(longest + 1, device=ids.device) <= lengths
    return tokens.masked_fill(~counted, 0.0).sum(dim=1).reshape(rows, labels)
