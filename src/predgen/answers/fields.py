"""The answers to one prompt under a tokenizer: one table, or one a field, each behind a cue that names the field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from predgen.answers.build import DEFAULT_SEARCH, Table, build_table
from predgen.answers.grammar import FreeAnswer
from predgen.answers.spaces import Space
from predgen.config import SearchConfig
from predgen.data.tokens import answer_separator, ids_behind
from predgen.errors import AnswerError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class FieldTables(NamedTuple):
    """K fields under a tokenizer."""

    tables: tuple[Table, ...]
    cues: tuple[list[int], ...]  # tokens between the prompt and each field's answer; none where there is one answer


def build_fields(
    names: Sequence[str] | None,
    spaces: Sequence[Space],
    tokenizer: PreTrainedTokenizerBase,
    behind: str,
    vocabulary_size: int,
    gold: Sequence[Sequence[FreeAnswer]],
    search: SearchConfig = DEFAULT_SEARCH,
) -> FieldTables:
    r"""Tokenises every field's cue and answers.

    Args:
        names: Of K fields; None where there is one answer, directly behind the prompt.
        spaces: K spaces.
        tokenizer: The writer's tokenizer.
        behind: What the prompt ends with, as `Frame.behind` has it, e.g. ``"\nAnswer:"``.
        vocabulary_size: Width of the writer's logits.
        gold: Of each field the answers that will be taught, where its space does not list them; else none.
        search: When, and how far, answers that are listed are searched for.

    Raises:
        AnswerError: If the tokenizer cannot write a cue or an answer, or two fields could not be told apart.
    """
    if names is None:
        return FieldTables((build_table(spaces[0], tokenizer, behind, vocabulary_size, gold[0], search),), ([],))
    for name in names:
        if not name.strip() or name != " ".join(name.split()):
            raise AnswerError(
                f"A field is called {name!r}.", "Its name stands in the prompt: words with one blank between them."
            )
    texts = [f"{answer_separator(behind)}{name}:" for name in names]
    cues = tuple(ids_behind(tokenizer, behind, text) for text in texts)
    for place, cue in enumerate(cues):
        if cue in cues[:place]:
            raise AnswerError(f"The tokenizer writes the fields {names[cues.index(cue)]!r} and {names[place]!r} alike.")
    tables = tuple(
        build_table(space, tokenizer, behind + text, vocabulary_size, answers, search)
        for space, text, answers in zip(spaces, texts, gold, strict=True)
    )
    return FieldTables(tables, cues)
