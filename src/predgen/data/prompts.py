"""Rendered row → prompt tokens: body, then the cue that the answer follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from predgen.data.tokens import encode, ids_behind
from predgen.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class EncodedPrompt(NamedTuple):
    """A prompt as tokens."""

    ids: list[int]  # special tokens the model wants in front, the body, the cue
    cut: int  # body tokens that did not fit and were left out, from the body's end


class PromptEncoder:
    r"""Turns bodies into prompts that all end in the same cue tokens.

    Body and cue are tokenised apart, so that the answer always stands behind the very same tokens, and so that a body
    that is too long loses its own end and never the cue.

    Args:
        tokenizer: The writer's tokenizer.
        cue: Ends every prompt, e.g. ``"\nAnswer:"``. No blank at its end: most tokenizers write the space before a
            word inside the word's first token.
        max_tokens: Longest prompt, in tokens, cue included.

    Raises:
        ConfigError: If the cue alone does not fit.
        AnswerError: If the tokenizer cannot write the cue behind a text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, cue: str, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._cue = ids_behind(tokenizer, "", cue)
        self._start = _special_tokens_in_front(tokenizer)
        self.max_tokens = max_tokens
        self._room = max_tokens - len(self._cue) - len(self._start)
        if self._room < 1:
            raise ConfigError(
                f"Prompts of {max_tokens} tokens leave no room for a text: the cue takes {len(self._cue)}.",
                remedy="Raise prompt.max_tokens or shorten prompt.cue.",
            )

    def __call__(self, body: str) -> EncodedPrompt:
        """Encodes one rendered row."""
        ids = encode(self._tokenizer, body)
        return EncodedPrompt([*self._start, *ids[: self._room], *self._cue], max(0, len(ids) - self._room))


def _special_tokens_in_front(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the tokenizer puts before a text (BOS, if anything); what it puts behind is of no use in a prompt."""
    plain = encode(tokenizer, "x")
    dressed: list[int] = tokenizer("x", add_special_tokens=True)["input_ids"]
    for start in range(len(dressed) - len(plain) + 1):
        if dressed[start : start + len(plain)] == plain:
            return dressed[:start]
    raise ConfigError("The tokenizer changes a text's own tokens when it adds special tokens; it cannot be used.")
