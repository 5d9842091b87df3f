"""Text ↔ token ids, where it matters what stands before a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from predgen.errors import AnswerError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode(tokenizer: PreTrainedTokenizerBase, text: str, special: bool = False) -> list[int]:
    """Token ids of a text; nothing is added.

    Args:
        tokenizer: The writer's tokenizer.
        text: Plain text.
        special: Whether a special token's name inside the text becomes that token; never for what users write.
    """
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=not special)["input_ids"]
    return ids


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of token ids, exactly as the tokens spell it."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def ids_behind(tokenizer: PreTrainedTokenizerBase, before: str, text: str, special: bool = False) -> list[int]:
    """The tokens of `text` as they stand directly behind `before`.

    A letter goes in front of both, since SentencePiece marks the first word of what it is given.

    Args:
        tokenizer: The writer's tokenizer.
        before: Plain text.
        text: Plain text.
        special: As `encode` takes it.

    Raises:
        AnswerError: If the tokenizer merges characters across the boundary, so that `before` would be tokenised
            otherwise with the text behind it than alone.
    """
    head = encode(tokenizer, "x" + before, special)
    whole = encode(tokenizer, "x" + before + text, special)
    if whole[: len(head)] != head:
        raise AnswerError(
            f"The tokenizer merges the end of the cue {before!r} with the answer {text!r}.",
            "The prompt's tokens must not depend on the answer behind it.",
            "Let the cue (prompt.cue) end in a colon or a newline, without a blank.",
        )
    return whole[len(head) :]
