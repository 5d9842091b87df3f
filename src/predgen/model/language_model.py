"""A causal language model, and which tokens' logits its passes make."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from predgen.model.answer_projection import AnswerProjection, NoProjection, WholeProjection, answer_projection

if TYPE_CHECKING:
    from peft import PeftModel

_OF_HEADS = ("summary_", "classifier_")


class LanguageModel(nn.Module):
    """A language model whose logits can be left out: of tokens that no answer holds, or all of them.

    Args:
        lm: A decoder-only language model of transformers, or such a model wrapped by peft.
    """

    def __init__(self, lm: PreTrainedModel | PeftModel) -> None:
        super().__init__()
        # peft's wrapper passes everything on to the model inside, which its type does not say.
        self.lm: Any = lm
        self.keeps_states = False  # whether prompts keep their last hidden states, for a director that reads them
        self.projection: AnswerProjection | None = None
        self._choice: AnswerProjection | None = None

    def project_to(self, tokens: Tensor) -> None:
        """Makes logits of some tokens only from now on; those of all others are −inf.

        A small model spends a quarter of a scoring pass on its vocabulary, of which answers use a dozen tokens. Where
        the model does not make its logits by one plain product, all are made as before.

        Args:
            tokens: (C,) token ids, each once.
        """
        self.projection = answer_projection(self.lm, tokens)

    def choose_among(self, tokens: Tensor) -> None:
        """As `project_to`, where `choosing` alone; whatever is learned or scored sees the whole vocabulary.

        Args:
            tokens: (C,) token ids, each once.
        """
        self._choice = answer_projection(self.lm, tokens)

    @contextlib.contextmanager
    def choosing(self) -> Iterator[None]:
        """While it lasts only the answers' tokens have logits, where these are known: for the likeliest of them."""
        with self._projecting(self.projection or self._choice):
            yield

    @contextlib.contextmanager
    def over_vocabulary(self) -> Iterator[None]:
        """All logits while it lasts, for what no answer holds."""
        kept = self.projection
        with self._projecting(None if kept is None or kept.probe is None else WholeProjection(kept)):
            yield

    @contextlib.contextmanager
    def giving_states(self) -> Iterator[None]:
        """While it lasts all passes give last states, width d, where they give logits otherwise, width V."""
        assert self.projection is not None, "only a plain projection can be left out"
        with self._projecting(NoProjection(self.projection.tokens)):
            yield

    @contextlib.contextmanager
    def _projecting(self, projection: AnswerProjection | None) -> Iterator[None]:
        kept, self.projection = self.projection, projection
        try:
            yield
        finally:
            self.projection = kept

    def forward(self, logits_to_keep: Tensor | None = None, **inputs: Any) -> CausalLMOutputWithPast:
        """One pass of the language model.

        Args:
            logits_to_keep: Columns whose logits are made, by number; None: all.
            inputs: What transformers' models take.
        """
        if self.projection is not None:
            output = self.projection(self.lm, logits_to_keep, inputs)
        elif logits_to_keep is None:
            output = self.lm(**inputs)  # some architectures know of no choice
        else:
            output = self.lm(**inputs, logits_to_keep=logits_to_keep)
        made: CausalLMOutputWithPast = output
        return made

    def with_states(self, logits_to_keep: Tensor | None = None, **inputs: Any) -> tuple[Any, Tensor | None]:
        """As `forward`, and the last hidden states of all columns, (B, T, d), where `keeps_states`; else None.

        Taken from the decoder as it passes them on: asked for hidden states, transformers' models keep every layer's.
        """
        if not self.keeps_states:
            return self(logits_to_keep=logits_to_keep, **inputs), None
        found = list[Tensor]()
        hook = self.lm.get_decoder().register_forward_hook(lambda *call: found.append(call[-1].last_hidden_state))
        try:
            output = self(logits_to_keep=logits_to_keep, **inputs)
        finally:
            hook.remove()
        return output, found[0]

    @property
    def use_cache(self) -> bool:
        """What a model is told of a pass that is given a cache.

        No where its layers are computed again in the backward pass: transformers would say that the two do not go
        together, though the cache that is given is used all the same (see `predgen.model.checkpointing`).
        """
        return not (self.training and getattr(self.lm.get_decoder(), "gradient_checkpointing", False))

    @property
    def drops_out(self) -> bool:
        """Whether training passes leave something out by chance, so that their logits are not inference's."""
        # Attention's is no module, and known from the settings alone; among them are those of heads that are not here.
        settings = self.lm.config.get_text_config().to_dict()
        named = [value for name, value in settings.items() if "drop" in name and not name.startswith(_OF_HEADS)]
        modules = [part.p for part in self.lm.modules() if isinstance(part, nn.Dropout)]
        return any(isinstance(value, float) and value > 0 for value in (*named, *modules))

    @property
    def hidden_size(self) -> int:
        """Width d of the hidden states."""
        return int(self.lm.config.get_text_config().hidden_size)

    @property
    def vocabulary_size(self) -> int:
        """Width V of the logits."""
        return int(self.lm.config.get_text_config().vocab_size)

    @property
    def dtype(self) -> torch.dtype:
        """Of the states."""
        dtype: torch.dtype = self.lm.get_input_embeddings().weight.dtype
        return dtype
