"""Prompts, read → everything that the writer says of its answer, and the answer that a director is shown."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor

from predgen.answers.build import Table
from predgen.answers.free_table import FreeTable
from predgen.config import Normalise
from predgen.decoding.beam import search_trie
from predgen.decoding.score import score_trie
from predgen.decoding.walk import walk
from predgen.model.history import gold_history, read_by_director
from predgen.model.outputs import Scores
from predgen.model.writer import Prefix, Writer


class Decoded(NamedTuple):
    """What the writer says, and its greedy answer; B rows, T tokens."""

    scores: Scores  # without a director's or head's part
    ids: Tensor  # (B, T) int64; the greedy answer in the space, without the terminator
    mask: Tensor  # (B, T) bool
    read: Tensor  # (B, T) bool; what a director reads of it


@torch.no_grad()
def decode(writer: Writer, prefix: Prefix, table: Table, normalise: Normalise) -> Decoded:
    """Scores all answers, or searches for the likeliest where they are too many, or writes where there is no list.

    Args:
        writer: The language model.
        prefix: The prompts, read.
        table: The answer space.
        normalise: What a token's probability is taken over.
    """
    if isinstance(table, FreeTable):
        walked = walk(writer, prefix, table)
        read = read_by_director(table, walked.mask, walked.nodes)
        # All batches are as wide as the longest answer, so that they can be put together.
        written = torch.full((walked.ids.shape[0], table.depth), -1, device=walked.ids.device)
        written[:, : walked.ids.shape[1]] = walked.ids.masked_fill(~walked.mask, -1)
        number = table.numbers(walked.ids, read)
        return Decoded(Scores.nothing()._replace(number=number, written=written), walked.ids, walked.mask, read)
    if table.exact:
        scored = score_trie(writer, prefix, table, normalise)
        scores = Scores.nothing()._replace(
            log_posterior=scored.log_posterior, log_mass=scored.log_mass, greedy=scored.greedy
        )
    else:
        scores = Scores.nothing()._replace(**search_trie(writer, prefix, table, normalise)._asdict())
    greedy = cast(Tensor, scores.greedy).to(prefix.ids.device)
    shown = gold_history(table, greedy)  # the greedy answer stands where gold stands in training
    return Decoded(scores, shown.ids, shown.mask, shown.read)
