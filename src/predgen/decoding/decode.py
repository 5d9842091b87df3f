"""Prompts, read → everything that the writer says of its answer, and the answer that a director is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor

from predgen.answers.build import Table
from predgen.answers.free_table import FreeTable
from predgen.answers.tables import AnswerTable
from predgen.config import Normalise
from predgen.decoding.beam import search_trie
from predgen.decoding.score import TrieScores, one_pass_rows, score_trie, scores_of
from predgen.decoding.walk import walk
from predgen.model.history import gold_history, read_by_director
from predgen.model.outputs import Scores
from predgen.model.prefix import Prefix
from predgen.model.shared_head import SharedHead, prefill_behind, prefill_with_tree
from predgen.model.writer import Writer


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
    assert isinstance(table, AnswerTable)  # rows with options of their own are scored by `score_options`
    if table.exact:
        return as_decoded(score_trie(writer, prefix, table, normalise), table)
    scores = Scores.nothing()._replace(**search_trie(writer, prefix, table, normalise)._asdict())
    greedy = cast(Tensor, scores.greedy).to(prefix.ids.device)
    shown = gold_history(table, greedy)
    return Decoded(scores, shown.ids, shown.mask, shown.read)


@torch.no_grad()
def read_and_decode(
    writer: Writer,
    head: SharedHead | None,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    table: Table,
    normalise: Normalise,
    goes_on: bool,
) -> Iterator[tuple[Prefix, Decoded]]:
    """`decode` of prompts that have not been read yet, in the same passes where both are best read together.

    Args:
        writer: The language model.
        head: What all prompts begin with, if it has been read.
        prompt_ids: (B, P) what follows it, padded on the left.
        prompt_mask: (B, P).
        table: The answer space.
        normalise: What a token's probability is taken over.
        goes_on: Whether more will be read behind the prompts.

    Yields:
        Some of the rows after the others, in order.
    """
    size = one_pass_rows(writer, table, *prompt_ids.shape) if isinstance(table, AnswerTable) else 0
    if not isinstance(table, AnswerTable) or not size:
        prefix = prefill_behind(writer, head, prompt_ids, prompt_mask)
        yield prefix, decode(writer, prefix, table, normalise)
        return
    for ids, mask in zip(torch.split(prompt_ids, size), torch.split(prompt_mask, size), strict=True):
        prefix, logits = prefill_with_tree(writer, head, ids, mask, table, keep_prompt=goes_on)
        decoded = as_decoded(scores_of(logits, table, normalise), table)
        # The largest tensor there is: gone before what comes next takes memory of its own.
        prefix = prefix._replace(logits=prefix.logits.clone())
        del logits
        yield prefix, decoded


def as_decoded(scored: TrieScores, table: AnswerTable) -> Decoded:
    """Scores of all answers, and the greedy one as a director is shown it."""
    scores = Scores.nothing()._replace(
        log_posterior=scored.log_posterior, log_mass=scored.log_mass, greedy=scored.greedy
    )
    shown = gold_history(table, scored.greedy)  # the greedy answer stands where gold stands in training
    return Decoded(scores, shown.ids, shown.mask, shown.read)
