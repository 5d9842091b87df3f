"""Gradient checkpointing: layers are computed again in the backward pass, and their activations not kept."""

from __future__ import annotations

from typing import Any

import torch
from transformers.modeling_layers import GradientCheckpointingLayer

from predgen.model.prefix import empty_cache


def checkpoint_layers(lm: Any) -> None:
    """Has a model's layers computed again in the backward pass.

    transformers takes the cache from most layers then, since one that grows would hold its tokens twice when they are
    computed again. Ours does not grow then (see `predgen.model.prefix`), and layers that ask whether they may keep it
    are told so.

    Args:
        lm: A causal LM of transformers, adapted or not; changed in place.
    """
    # Not re-entrant: the frozen base's inputs need no gradient, and the adapters' is found all the same.
    settings = {"use_reentrant": False}
    if hasattr(lm, "activation_checkpointing_enable"):
        lm.activation_checkpointing_enable(activation_checkpointing_kwargs=settings)
    else:  # transformers before 5.23 knows the older name alone
        lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs=settings)
    for module in lm.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module._can_checkpoint_with_cache = True


@torch.no_grad()
def keeps_cache(lm: Any) -> bool:
    """Whether a cache that a model is given while it trains holds what was read; chance stays as it was.

    Args:
        lm: A causal LM whose answers branch from one cached prompt; asked for one short pass.
    """
    training, cache = lm.training, empty_cache()
    ids = torch.zeros(1, 2, dtype=torch.long, device=lm.get_input_embeddings().weight.device)
    lm.train()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        lm.get_decoder()(input_ids=ids, attention_mask=torch.ones_like(ids), past_key_values=cache, use_cache=False)
    lm.train(training)
    layers: list[Any] = cache.layers
    filled = [layer.get_seq_length() == ids.shape[1] for layer in layers]
    return len(filled) == lm.config.get_text_config().num_hidden_layers and all(filled)
