"""The projection to the vocabulary, of the answers' own tokens alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import CausalLMOutputWithPast

_TOLERANCE = (
    0.01  # of the largest logit; far above rounding in half precision, far below any scale that a model applies
)


class AnswerProjection(nn.Module):
    """Runs a language model and makes the logits of some tokens; all others are −inf.

    Args:
        tokens: (C,) token ids, each once.
    """

    tokens: Tensor

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.register_buffer("tokens", tokens, persistent=False)

    def forward(self, lm: Any, logits_to_keep: Tensor | None, inputs: Mapping[str, Any]) -> CausalLMOutputWithPast:
        """What ``lm(logits_to_keep=…, **inputs)`` gives.

        Args:
            lm: A causal LM of transformers, adapted or not.
            logits_to_keep: Columns whose logits are made, by number; None: all.
            inputs: What its decoder takes.
        """
        output = lm.get_decoder()(**inputs)
        states = output.last_hidden_state
        return CausalLMOutputWithPast(
            logits=self.logits(lm, states if logits_to_keep is None else states[:, logits_to_keep]),
            past_key_values=getattr(output, "past_key_values", None),
            hidden_states=getattr(output, "hidden_states", None),
        )

    def logits(self, lm: Any, states: Tensor) -> Tensor:
        """(B, T, d) last states → (B, T, V)."""
        project = lm.get_output_embeddings()
        if type(project) is not nn.Linear:  # divided among processes since; only its own pass puts it together
            whole: Tensor = project(states)
            return whole
        weight, bias = project.weight[self.tokens], None if project.bias is None else project.bias[self.tokens]
        made = functional.linear(states.to(weight.dtype), weight, bias)
        nothing = made.new_full((*made.shape[:-1], project.out_features), -torch.inf)
        return nothing.index_copy(-1, self.tokens, made)


@torch.no_grad()
def answer_projection(lm: Any, tokens: Tensor) -> AnswerProjection | None:
    """The projection to some tokens, where a model's logits are one plain product of its last states; else None.

    Some models scale or cap their logits, and an adapter may stand in the projection's place.

    Args:
        lm: A causal LM of transformers, adapted or not; asked for two short passes.
        tokens: (C,) token ids, each once.
    """
    project = lm.get_output_embeddings()
    # A cap is next to the identity while logits are small, so that no pass of an untrained model would show it.
    if type(project) is not nn.Linear or getattr(lm.config.get_text_config(), "final_logit_softcapping", None):
        return None
    device, training = project.weight.device, lm.training
    lm.eval()
    narrow, ids = AnswerProjection(tokens.to(device)), tokens[None, :8].to(device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
    whole, made = lm(**inputs).logits, narrow(lm, None, inputs).logits
    lm.train(training)
    worst = (whole - made)[..., narrow.tokens].abs().max()
    return narrow if worst <= _TOLERANCE * whole.abs().max() else None
