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
    probe: Tensor | None  # (C, d); what is added to these tokens' output weights, if anything is

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.register_buffer("tokens", tokens, persistent=False)
        self.register_buffer("probe", None, persistent=False)

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
            return self.over_vocabulary(lm, states)
        weight, bias = project.weight[self.tokens], None if project.bias is None else project.bias[self.tokens]
        if self.probe is not None:
            weight = weight + self.probe.to(weight.dtype)
        made = functional.linear(states.to(weight.dtype), weight, bias)
        nothing = made.new_full((*made.shape[:-1], project.out_features), -torch.inf)
        return nothing.index_copy(-1, self.tokens, made)

    @torch.no_grad()
    def merge_probe(self, lm: Any) -> None:
        """Adds the probe to the output weights of a model, which it then shares with no input embedding."""
        assert self.probe is not None
        project = lm.get_output_embeddings()
        weight = project.weight.detach().clone()
        weight[self.tokens] += self.probe.to(weight.dtype)
        project.weight = nn.Parameter(weight, requires_grad=False)
        lm.config.get_text_config().tie_word_embeddings = lm.config.tie_word_embeddings = False

    def over_vocabulary(self, lm: Any, states: Tensor) -> Tensor:
        """As `logits`, those of all other tokens too."""
        whole: Tensor = lm.get_output_embeddings()(states)
        if self.probe is None:
            return whole
        added = functional.linear(states.to(whole.dtype), self.probe.to(whole.dtype))
        return whole.index_add(-1, self.tokens, added)


class WholeProjection(AnswerProjection):
    """As the projection it is made of, the logits of all other tokens too: for what no answer holds."""

    def __init__(self, narrow: AnswerProjection) -> None:
        super().__init__(narrow.tokens)
        self.probe = narrow.probe

    def logits(self, lm: Any, states: Tensor) -> Tensor:
        """(B, T, d) last states → (B, T, V)."""
        return self.over_vocabulary(lm, states)


class NoProjection(AnswerProjection):
    """Hands over the states where logits are looked for, (B, T, d) instead of (B, T, V): for what is fitted on them."""

    def logits(self, lm: Any, states: Tensor) -> Tensor:
        """(B, T, d) last states, as they are."""
        return states


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
