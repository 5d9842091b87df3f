"""Text ↔ token ids, where it matters what stands before a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from predgen.errors import AnswerError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_AT_ONCE = 20_000  # texts tokenised together; each takes a kilobyte until its tokens are kept


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
    """The tokens of `text` as they stand directly behind `before`; see `many_behind`.

    Args:
        tokenizer: The writer's tokenizer.
        before: Plain text.
        text: Plain text.
        special: As `encode` takes it.

    Raises:
        AnswerError: If the tokenizer merges characters across the boundary.
    """
    return many_behind(tokenizer, before, [text], special)[0]


def many_behind(
    tokenizer: PreTrainedTokenizerBase, before: str, texts: Sequence[str], special: bool = False
) -> list[list[int]]:
    """The tokens of each text as they stand directly behind `before`.

    A letter goes in front of both, since SentencePiece marks the first word of what it is given.

    Args:
        tokenizer: The writer's tokenizer.
        before: Plain text.
        texts: Plain texts.
        special: As `encode` takes it.

    Raises:
        AnswerError: If the tokenizer merges characters across the boundary, so that `before` would be tokenised
            otherwise with a text behind it than alone.
    """
    head = encode(tokenizer, "x" + before, special)
    found: list[list[int]] = []
    for start in range(0, len(texts), _AT_ONCE):
        part = ["x" + before + text for text in texts[start : start + _AT_ONCE]]
        wholes = _encode_all(tokenizer, part, special)
        for text, whole in zip(texts[start : start + _AT_ONCE], wholes, strict=True):
            if whole[: len(head)] != head:
                raise AnswerError(
                    f"The tokenizer merges the end of the cue {before!r} with the answer {text!r}.",
                    "The prompt's tokens must not depend on the answer behind it.",
                    "Let the cue (prompt.cue) end in a colon or a newline, without a blank.",
                )
            found.append(whole[len(head) :])
    return found


def answer_separator(cue: str) -> str:
    """One space, unless the cue already ends in white space: then nothing."""
    return "" if cue[-1:].isspace() else " "


def _encode_all(tokenizer: PreTrainedTokenizerBase, texts: list[str], special: bool) -> list[list[int]]:
    if not tokenizer.is_fast or len(texts) == 1:
        return [encode(tokenizer, text, special) for text in texts]
    # Past the wrapper, which takes longer for an answer than the tokenizer does.
    backend: Any = tokenizer.backend_tokenizer
    backend.encode_special_tokens = not special
    return [found.ids for found in backend.encode_batch_fast(texts, add_special_tokens=False)]
