"""Integrated gradients through captum: a reference beside the information maps, an optional extra (``explain``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from predgen.answers.spaces import LabelSet
from predgen.errors import ConfigError
from predgen.information.answers import Said
from predgen.model.columns import last_columns
from predgen.model.losses import token_losses
from predgen.run import Run

if TYPE_CHECKING:
    from predgen.information.token_map import Column, Prompted

_STEPS = 24  # of the integral
_AT_ONCE = 8  # of them in a pass


def gradient_columns(run: Run, prompted: Prompted, said: Said) -> list[Column]:
    """One column an option; for numbers, one for the answer that is likeliest (a head's value, where there is one).

    Args:
        run: A fitted run.
        prompted: The prompt.
        said: What the run says of it.

    Raises:
        ConfigError: If captum is not there.
    """
    from predgen.information.token_map import Column

    method: Any = run.method
    if not hasattr(method, "table"):
        if isinstance(run.space, LabelSet):
            return [
                Column(label, "nats", True, _attributed(run, prompted, [], _head_log_prob(method, place)))
                for place, label in enumerate(run.space.labels)
            ]
        return [Column("value", "standard deviations", True, _attributed(run, prompted, [], _head_value(method)))]
    assert said.log_probs is not None
    best = int(np.argmax(said.log_probs[0]))
    shown = range(method.table.answers) if isinstance(run.space, LabelSet) else [best]
    columns = []
    for place in [best, *(other for other in shown if other != best)]:
        tokens = method.table.targets[place][: int(method.table.target_mask[place].sum()) - 1].tolist()
        values = _attributed(run, prompted, tokens, _written_log_prob(method, place, tokens))
        columns.append(Column(run.space.texts[place], "nats", True, values))  # type: ignore[union-attr]
    return columns


def without_words(method: Any, embeddings: Tensor, prompted: Prompted) -> Tensor:
    """The prompt whose words are all the vocabulary's mean embedding; cue and answer stand as they are.

    Not zero: a model that divides by each token's norm jumps there, and the attributions would not add up.
    """
    baseline = embeddings.clone()
    mean = method.writer.lm.get_input_embeddings().weight.detach().mean(dim=0)
    baseline[:, prompted.words[0].start : prompted.words[-1].stop] = mean
    return baseline


Reads = Callable[[Tensor, Tensor], Tensor]  # (B, n, d) embeddings and (B, n) mask → (B,)


def _written_log_prob(method: Any, place: int, tokens: list[int]) -> Reads:
    def read(embeddings: Tensor, mask: Tensor) -> Tensor:
        last = last_columns(mask, len(tokens) + 1)
        output = method.writer(last, inputs_embeds=embeddings, attention_mask=mask, use_cache=False)
        logits = output.logits[:, :-1]
        rows = logits.shape[0]
        allowed = None
        if method.writer_loss.normalise == "space":
            allowed = method.table.allowed(method.table.path_nodes[place][: len(tokens)].long().expand(rows, -1))
        named = torch.tensor(tokens, device=logits.device).expand(rows, -1)
        return -token_losses(logits, named, allowed).sum(dim=1)

    return read


def _head_log_prob(method: Any, place: int) -> Reads:
    return lambda embeddings, mask: _head(method, embeddings, mask).log_softmax(dim=1)[:, place]


def _head_value(method: Any) -> Reads:
    return lambda embeddings, mask: _head(method, embeddings, mask)[:, 0]


def _head(method: Any, embeddings: Tensor, mask: Tensor) -> Tensor:
    states = method.writer.lm.get_decoder()(inputs_embeds=embeddings, attention_mask=mask, use_cache=False)
    output: Tensor = method.output(method.pool(states.last_hidden_state, mask))
    return output


def _attributed(run: Run, prompted: Prompted, tokens: list[int], reads: Reads) -> list[float]:
    try:
        from captum.attr import IntegratedGradients
    except ImportError:
        raise ConfigError(
            "Integrated gradients need captum, which is not installed.", remedy="pip install 'predgen[explain]'"
        ) from None
    method: Any = run.method
    if method.writer.virtual_tokens:
        raise ConfigError(
            "Integrated gradients are not to be had of a prompt-tuned run: they are taken at embeddings, and "
            "it puts learned ones in front of them.",
            remedy="Use --estimator occlusion, or a run of another peft.method than prompt-tuning.",
        )
    device = next(run.method.parameters()).device
    ids = torch.tensor([[*prompted.ids, *tokens]], device=device)
    embeddings = method.writer.lm.get_input_embeddings()(ids).detach()
    baseline = without_words(method, embeddings, prompted)

    def forward(inputs: Tensor) -> Tensor:
        return reads(inputs, torch.ones(inputs.shape[:2], dtype=torch.long, device=device))

    given = IntegratedGradients(forward).attribute(
        embeddings, baselines=baseline, n_steps=_STEPS, internal_batch_size=_AT_ONCE
    )
    each = given.sum(dim=2)[0]
    return [float(each[word.start : word.stop].sum()) for word in prompted.words]
