"""How alike the states of a text's tokens are to those of its answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from predgen.answers.spaces import LabelSet
from predgen.data.tokens import decode as spell
from predgen.decoding.decode import decode
from predgen.information.token_map import Column, Prompted
from predgen.run import Run


@torch.no_grad()
def hidden_columns(run: Run, prompted: Prompted) -> tuple[list[Column], str]:
    """One column an option, or a token of the own answer and their mean; a head's one pooled state.

    Args:
        run: A fitted run.
        prompted: The prompt.

    Returns:
        The columns, the answer's first, and the answer in words.
    """
    method: Any = run.method
    device = next(run.method.parameters()).device
    ids = torch.tensor([prompted.ids], device=device)
    mask = torch.ones_like(ids)
    if hasattr(method, "pool"):
        states = method.writer.read(ids, mask)
        # A pooled state is a mean or one of the tokens' own states: beside itself there is no end of likeness.
        return [_alike("pooled state", method.pool(states, mask)[0], states[0], prompted)], "the head's"
    prefix, layers = method.writer.prefill_layers(ids, mask)
    if isinstance(run.space, LabelSet):
        count = method.table.answers
        answers = [
            method.table.targets[number][: int(method.table.target_mask[number].sum()) - 1] for number in range(count)
        ]
        own = decode(method.writer, prefix, method.table, method.writer_loss.normalise)
        found = []
        for label, tokens in zip(run.space.labels, answers, strict=True):
            written = method.writer.extend(prefix, tokens[None], torch.ones_like(tokens)[None])
            found.append(_alike(label, written.states[0, -1], layers[-1][0], prompted))
        greedy = own.scores.greedy
        assert greedy is not None
        best = int(greedy[0])
        # The answer's own map first, the other options behind it.
        return [found[best], *found[:best], *found[best + 1 :]], run.space.labels[best]
    own = decode(method.writer, prefix, method.table, method.writer_loss.normalise)
    written = method.writer.extend(prefix, own.ids, own.mask)
    real = [place for place in range(own.ids.shape[1]) if bool(own.mask[0, place])]
    columns = []
    for place in real:
        token = spell(run.tokenizer, own.ids[0, place : place + 1].tolist())
        columns.append(_alike(f"token {place + 1}: {token!r}", written.states[0, place], layers[-1][0], prompted))
    average = np.mean([column.values for column in columns], axis=0).tolist()
    text = spell(run.tokenizer, own.ids[0, real].tolist()).strip()
    return [Column("answer (mean of its tokens)", "nats a coordinate", False, average), *columns], text


def _alike(name: str, answer: Tensor, states: Tensor, prompted: Prompted) -> Column:
    """−½ log(1 − ρ²) of one state and each token's, a word taking its tokens' largest."""
    every = torch.cat([states, answer[None]]).double()
    # Coordinates with a large mean or spread, which all of a model's states share, would make everything alike.
    every = (every - every.mean(dim=0)) / every.std(dim=0).clamp_min(1e-9)
    centred = every - every.mean(dim=1, keepdim=True)
    length = centred.norm(dim=1).clamp_min(1e-12)
    correlation = (centred[:-1] @ centred[-1]) / (length[:-1] * length[-1])
    bits = -0.5 * torch.log((1.0 - correlation.square()).clamp_min(1e-6))
    return Column(
        name, "nats a coordinate", False, [float(bits[word.start : word.stop].max()) for word in prompted.words]
    )
