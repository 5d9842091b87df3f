"""Prompt tuning: learned embeddings of virtual tokens in front of every prompt (Lester et al. 2021).

peft's own forward pass puts them in front of whatever it is given, which is wrong where an answer, or a tree of
answers, is read behind a cached prompt. So they are real columns here: the base's embedding takes n more ids, and the
writer sets these right before each row's first token. Every pass then treats them as tokens: positions, masks, windows
and caches are the usual ones, and the numbers are those that peft computes for a prompt read alone. The file is peft's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from predgen.config import PeftConfig
from predgen.errors import ModelError
from predgen.peft_methods.adapter import load_adapter, put_in, save_adapter
from predgen.peft_methods.method import PeftMethod

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class WithVirtualTokens(nn.Module):
    """An embedding with n learned rows behind its own.

    Args:
        embedding: The base's; its rows keep their ids, 0 … E − 1.
        virtual: n learned rows; their ids are E … E + n − 1.
    """

    def __init__(self, embedding: nn.Module, virtual: nn.Embedding) -> None:
        super().__init__()
        self.embedding: Any = embedding
        self.virtual = virtual
        self.first = int(self.weight.shape[0])

    @property
    def weight(self) -> Tensor:
        """The base's rows; its precision is asked for by this name."""
        weight: Tensor = self.embedding.weight
        return weight

    def forward(self, ids: Tensor) -> Tensor:
        """Ids → embeddings, in the base's precision."""
        known: Tensor = self.embedding(ids.clamp(max=self.first - 1))
        added: Tensor = self.virtual((ids - self.first).clamp(min=0))
        return torch.where((ids >= self.first)[..., None], added.to(known.dtype), known)


class PromptTuned(nn.Module):
    """A base whose prompts begin with virtual tokens; what is not said here is the base's.

    Args:
        adapted: The base as peft has prompt-tuned it.
    """

    def __init__(self, adapted: Any) -> None:
        super().__init__()
        self.adapted = adapted
        base, virtual = adapted.base_model, adapted.prompt_encoder[adapted.active_adapter].embedding
        self._check(base, virtual)
        base.set_input_embeddings(WithVirtualTokens(base.get_input_embeddings(), virtual))

    @property
    def virtual_ids(self) -> Tensor:
        """The virtual tokens' ids, (n,); the writer puts them in front of every prompt."""
        embedding = self.adapted.base_model.get_input_embeddings()
        count = embedding.virtual.num_embeddings
        return torch.arange(embedding.first, embedding.first + count, device=embedding.weight.device)

    def get_base_model(self) -> Any:
        """The base, as peft's models name it."""
        return self.adapted.base_model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The base's forward pass over whatever ids it is given."""
        return self.adapted.base_model(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """What else the base can do."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            adapted: Any = super().__getattr__("adapted")
            return getattr(adapted.base_model, name)

    @staticmethod
    @torch.no_grad()
    def _check(base: Any, virtual: nn.Embedding) -> None:
        """Some models look at the ids themselves, and not at their embeddings alone."""
        embedding = base.get_input_embeddings()
        if embedding.weight.is_meta:
            return
        ids = torch.arange(3, device=embedding.weight.device)[None]
        try:
            by_ids, by_embeddings = base(input_ids=ids).logits, base(inputs_embeds=embedding(ids)).logits
        except (TypeError, ValueError, AttributeError) as problem:
            raise ModelError(
                f"This model cannot be prompt-tuned: it does not read embeddings ({problem})."
            ) from problem
        if not torch.allclose(by_ids, by_embeddings, atol=1e-4):
            raise ModelError("This model cannot be prompt-tuned: it reads more of a token than its embedding.")


def build(model: PreTrainedModel, config: PeftConfig, total_steps: int) -> PromptTuned:
    """Adds `prompt_tuning.tokens` learned embeddings.

    Args:
        model: The base; its input embedding is wrapped.
        config: prompt_tuning is read.
        total_steps: Not needed.

    Raises:
        ModelError: If the model cannot be given embeddings.
    """
    import peft
    from peft.tuners import PromptTuningInit

    own = config.prompt_tuning
    start = PromptTuningInit.SAMPLE_VOCAB if own.start == "vocabulary" else PromptTuningInit.RANDOM
    tuning = peft.PromptTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=own.tokens, prompt_tuning_init=start, num_transformer_submodules=1
    )
    adapted = put_in(model, tuning)
    return PromptTuned(adapted)


def save(lm: PromptTuned, folder: Path, base_name: str) -> None:
    """Writes the embeddings and their settings, as plain peft reads them."""
    save_adapter(lm.adapted, folder, base_name)


def load(base: PreTrainedModel, folder: Path) -> PromptTuned:
    """Puts saved embeddings into their base."""
    return PromptTuned(load_adapter(base, folder))


PROMPT_TUNING = PeftMethod(
    "prompt-tuning",
    "W, behind n learned embeddings",
    "Lester et al. 2021",
    "PromptTuningConfig",
    build=build,
    save=save,
    load=load,
    virtual_tokens=lambda config: config.prompt_tuning.tokens,
    merge=None,
)
