"""Unconstrained greedy text: what the writer says when nothing holds it to the space. Never a prediction."""

from __future__ import annotations

import torch
from torch import Tensor

from predgen.answers.build import Table
from predgen.model.prefix import Prefix
from predgen.model.writer import Writer


@torch.no_grad()
def generate_freely(writer: Writer, prefix: Prefix, table: Table) -> list[list[int]]:
    """Greedy decoding over the whole vocabulary, until the terminator or one token beyond the longest answer.

    Args:
        writer: The language model.
        prefix: Prompts of B rows, read.
        table: The answer space; only its terminator and depth are used.

    Returns:
        Content token ids of each row, without the terminator. A row that was cut ends in its last token.
    """
    rows, max_tokens, terminator = prefix.mask.shape[0], table.depth + 1, table.terminator
    running = torch.ones(rows, dtype=torch.bool, device=prefix.mask.device)
    columns: list[Tensor] = []
    logits = prefix.logits
    for position in range(max_tokens):
        token = logits.argmax(dim=1)
        running = running & (token != terminator)
        columns.append(torch.where(running, token, torch.full_like(token, -1)))
        if position + 1 == max_tokens or not running.any():
            break
        written = writer.extend(prefix, token[:, None], running[:, None])
        prefix, logits = written.prefix, written.logits[:, -1]
    return [[token for token in row if token >= 0] for row in torch.stack(columns, dim=1).tolist()]
