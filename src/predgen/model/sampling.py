"""Scheduled sampling: what history the writer is shown while it learns (sections 4 and 6; Bengio et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from predgen.answers.tables import AnswerTable
from predgen.config import SamplingMode
from predgen.model.writer import Prefix, Writer


@dataclass(frozen=True)
class LinearSchedule:
    """p(s) = start + (end − start) · min(1, s / steps); s counts optimizer steps.

    Args:
        start: p at step 0, in [0, 1].
        end: p from step `steps` on, in [0, 1].
        steps: How long p takes to get there; at least 1.
    """

    start: float
    end: float
    steps: int

    def __call__(self, step: int) -> float:
        """The probability that an answer token of the history is the model's own."""
        return self.start + (self.end - self.start) * min(1.0, step / self.steps)


class History(NamedTuple):
    """The answer tokens that the writer is shown, ỹ; T columns, without the terminator."""

    ids: Tensor  # (B, T) int64, padded on the right
    mask: Tensor  # (B, T) bool
    targets: Tensor  # (B, T + 1) int64; the gold token behind each position, the prompt's last one included
    target_mask: Tensor  # (B, T + 1) bool; within gold's length and within the history's, whichever is shorter
    target_weights: Tensor  # (B, T + 1) float; place weights of the gold tokens
    own: Tensor  # (B,) bool; no coin of the row took gold


def draw_coins(mode: SamplingMode, probability: float, seed: int, step: int, row_ids: Tensor, width: int) -> Tensor:
    """Which positions of which rows take the model's own token.

    Each row's coins come from a generator keyed by (seed, step, row), so that accumulation, several processes and a
    resumed run draw the same ones, whatever else the batch holds.

    Args:
        mode: "token": one coin a position; "sequence": one coin a row.
        probability: p, in [0, 1]; 0 is gold throughout, 1 the model's own throughout.
        seed: The run's seed.
        step: The optimizer step.
        row_ids: (B,) positions in the training set.
        width: Positions a row, terminator included.

    Returns:
        (B, width) bool, on the rows' device.
    """
    columns = 1 if mode == "sequence" else width
    coins = np.stack(
        [
            np.random.Generator(np.random.Philox(key=[seed, step], counter=[row, 0, 0, 0])).random(columns)
            for row in row_ids.tolist()
        ]
    )
    return torch.from_numpy(coins < probability).to(row_ids.device).expand(-1, width)


def gold_history(table: AnswerTable, answer_index: Tensor) -> History:
    """Teacher forcing: every token is gold's.

    Args:
        table: The space's answers.
        answer_index: (B,) gold answers.
    """
    mask = table.target_mask[answer_index]
    width = int(mask.sum(dim=1).max())
    targets = table.targets[answer_index][:, :width]
    return History(
        ids=targets[:, :-1],
        mask=mask[:, 1:width],  # a content token is one that something follows
        targets=targets,
        target_mask=mask[:, :width],
        target_weights=table.target_weights[answer_index][:, :width],
        own=torch.zeros_like(answer_index, dtype=torch.bool),
    )


@torch.no_grad()
def mixed_history(writer: Writer, prefix: Prefix, table: AnswerTable, answer_index: Tensor, coins: Tensor) -> History:
    """Walks the trie, taking at each position gold's token or the model's own.

    The own token is the likeliest child of the node reached so far, as at inference, so every history is a path that
    inference could take. Gold's token is taken only where it continues that path: once an own token has left gold's
    answer, gold's next one may lie outside the space. A history ends at its own terminator, whatever gold's length,
    and targets beyond the shorter of the two are masked, so that gold's length never leaks. The number of forward
    passes depends on the trie alone, never on the coins, so that all processes of a distributed run make as many.

    Args:
        writer: The language model, in eval mode while it writes its own history.
        prefix: The prompts, read; only its values are used, no gradient flows.
        table: The space's trie.
        answer_index: (B,) gold answers.
        coins: (B, L + 1) bool, true where the model's own token is taken.
    """
    training = writer.training
    writer.eval()
    # Behind gold's end there is nothing to match: −1 is no token, where the table's filling, 0, would be one.
    gold = table.targets[answer_index].masked_fill(~table.target_mask[answer_index], -1)
    walked = _walk(writer, prefix.detached(), table, gold, coins)
    writer.train(training)
    mask = walked.content
    width = int(mask.sum(dim=1).max())
    # Position t + 1 has a target if the history reaches it: everything before it is content, and gold is that long.
    reached = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
    return History(
        ids=walked.tokens[:, :width],
        mask=mask[:, :width],
        targets=table.targets[answer_index][:, : width + 1],
        target_mask=(table.target_mask[answer_index] & reached)[:, : width + 1],
        target_weights=table.target_weights[answer_index][:, : width + 1],
        own=walked.own,
    )


class _Walk(NamedTuple):
    tokens: Tensor  # (B, L)
    content: Tensor  # (B, L) bool
    own: Tensor  # (B,) bool


def _walk(writer: Writer, prefix: Prefix, table: AnswerTable, gold: Tensor, coins: Tensor) -> _Walk:
    rows, depth = gold.shape[0], table.depth
    node = torch.zeros(rows, dtype=torch.long, device=gold.device)
    running = torch.ones(rows, dtype=torch.bool, device=gold.device)
    own = torch.ones_like(running)
    tokens: list[Tensor] = []
    content: list[Tensor] = []
    unread = 0  # tokens chosen but not yet shown to the model: where the trie leaves no choice, it need not be asked
    logits = prefix.logits
    for position in range(depth):
        if table.branches[position] and unread:
            written = writer.extend(prefix, torch.stack(tokens[-unread:], dim=1), torch.stack(content[-unread:], dim=1))
            prefix, unread = written.prefix, 0
            # The last real token's logits; rows that have ended are not asked any more.
            logits = written.logits[:, -1]
        children, names = table.child_nodes[node], table.child_tokens[node]
        ways = children >= 0
        best = logits.gather(1, names).masked_fill(~ways, -torch.inf).argmax(dim=1)
        matches = ways & (names == gold[:, position, None])
        take_gold = ~coins[:, position] & matches.any(dim=1)
        choice = torch.where(take_gold, matches.int().argmax(dim=1), best)[:, None]
        running = running & ways.any(dim=1)
        own = own & (~take_gold | ~running)
        token = names.gather(1, choice)[:, 0]
        # A terminator node ends the row here; it is not part of what is shown.
        running = running & (token != table.terminator)
        node = torch.where(running, children.gather(1, choice)[:, 0].clamp_min(0), node)
        tokens.append(torch.where(running, token, torch.zeros_like(token)))
        content.append(running)
        unread += 1
    return _Walk(torch.stack(tokens, dim=1), torch.stack(content, dim=1), own)
