"""Several fields' answers behind one prompt, all scored in one pass.

Each field's cue is a chain of nodes, and the field's trie hangs behind its end. Fields do not see each other, so that
every number is what it would be had the field been asked alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from predgen.answers.build import Table
from predgen.answers.tables import AnswerTable
from predgen.config import Normalise
from predgen.decoding.decode import Decoded, as_decoded
from predgen.decoding.score import LOGITS_AT_ONCE, NODES_AT_ONCE, TrieScores, scores_of
from predgen.model.prefix import Prefix
from predgen.model.writer import Writer


class FieldTree(nn.Module):
    """The cues and tries of K fields as one tree of N nodes, in buffers that are not saved.

    Args:
        cues: Of each field its tokens, at least one.
        tables: Of each field its trie, as `one_tree` wants it.
    """

    ids: Tensor  # (N,) int64
    depth: Tensor  # (N,) int64; 1 right behind the prompt
    sees: Tensor  # (N, N) bool

    def __init__(self, cues: Sequence[Sequence[int]], tables: Sequence[AnswerTable]) -> None:
        super().__init__()
        ids, depths, blocks = list[Tensor](), list[Tensor](), list[Tensor]()
        self.columns: list[tuple[int, int]] = []  # of each field's logits: the end of its cue, and its inner nodes
        start = 1  # column 0 is the prompt's own
        for cue, table in zip(cues, tables, strict=True):
            chain, nodes = len(cue), table.inner.shape[0]
            ids += [torch.tensor(cue), table.node_token[table.inner].cpu()]
            depths += [torch.arange(1, chain + 1), chain + table.node_depth[table.inner].cpu()]
            block = torch.ones(chain + nodes, chain + nodes, dtype=torch.bool).tril()
            block[chain:, chain:] = table.inner_sees.cpu()
            blocks.append(block)
            self.columns.append((start + chain - 1, start + chain + nodes))
            start += chain + nodes
        whole: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
        self.register_buffer("ids", torch.cat(ids), persistent=False)
        self.register_buffer("depth", torch.cat(depths), persistent=False)
        self.register_buffer("sees", whole.bool(), persistent=False)


def one_tree(cues: Sequence[Sequence[int]], tables: Sequence[Table]) -> FieldTree | None:
    """The tree of fields that can be scored together; None where one has no list, or they are too many nodes."""
    listed = [table for table in tables if isinstance(table, AnswerTable) and table.exact]
    if len(listed) < len(tables) or any(table.inner_sees.shape[0] != table.inner.shape[0] for table in listed):
        return None
    nodes = sum(len(cue) + table.inner.shape[0] for cue, table in zip(cues, listed, strict=True))
    return FieldTree(cues, listed) if nodes <= NODES_AT_ONCE else None


@torch.no_grad()
def decode_fields(
    writer: Writer, prefix: Prefix, tree: FieldTree, tables: Sequence[AnswerTable], normalise: Normalise
) -> list[Decoded]:
    """What the writer says of every field.

    Args:
        writer: The language model.
        prefix: The prompts, read.
        tree: The fields' cues and tries.
        tables: The same tries.
        normalise: What a token's probability is taken over.
    """
    chunk = max(1, LOGITS_AT_ONCE // ((1 + tree.ids.shape[0]) * writer.vocabulary_size))
    parts = []
    for start in range(0, prefix.mask.shape[0], chunk):
        logits = writer.branch(prefix.rows(start, start + chunk), tree.ids, tree.depth, tree.sees)
        parts.append(
            [
                scores_of(logits[:, first:stop], table, normalise)
                for (first, stop), table in zip(tree.columns, tables, strict=True)
            ]
        )
    return [
        as_decoded(TrieScores(*(torch.cat(column) for column in zip(*field, strict=True))), table)
        for field, table in zip(zip(*parts, strict=True), tables, strict=True)
    ]
