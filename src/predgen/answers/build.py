"""Space and tokenizer → the table that histories, scoring and writing walk along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from predgen.answers.free_number import FreeNumber
from predgen.answers.free_table import FreeTable
from predgen.answers.grammar import FreeAnswer, build_grammar
from predgen.answers.option_table import OptionTable
from predgen.answers.spaces import LabelSet, Space
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config import SearchConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Table = AnswerTable | FreeTable | OptionTable
DEFAULT_SEARCH = SearchConfig()


def build_table(
    space: Space,
    tokenizer: PreTrainedTokenizerBase,
    behind: str,
    vocabulary_size: int,
    gold: Sequence[FreeAnswer] = (),
    search: SearchConfig = DEFAULT_SEARCH,
) -> Table:
    """The table of a space.

    Args:
        space: The answers.
        tokenizer: The writer's tokenizer.
        behind: What the prompt ends with, as `Frame.behind` has it.
        vocabulary_size: Width of the writer's logits.
        gold: The answers that will be taught, where the space does not list them.
        search: When, and how far, answers that are listed are searched for.

    Raises:
        AnswerError: If the tokenizer cannot write the answers.
    """
    if isinstance(space, FreeNumber):
        return FreeTable(build_grammar(space, tokenizer, behind, gold), vocabulary_size)
    return AnswerTable(
        build_trie(space, tokenizer, behind), search, None if isinstance(space, LabelSet) else space.numbers
    )
