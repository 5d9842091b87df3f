"""Rendered row → prompt tokens: what the model wants in front, the body, the cue that the answer follows."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from predgen.config import LongText, Switch
from predgen.data.options import Question
from predgen.data.tokens import answer_separator, encode, ids_behind, many_behind
from predgen.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class EncodedPrompt(NamedTuple):
    """A prompt as tokens."""

    ids: list[int]  # special tokens the model wants in front, the body, the cue
    cut: int  # body tokens that did not fit and were left out


class EncodedRows(NamedTuple):
    """The prompts of some rows; more than one a row where long texts are read in windows."""

    prompts: list[list[int]]
    rows: list[int]  # which row each prompt belongs to, ascending
    cut: list[int]  # of each row, how many tokens were left out
    options: list[list[list[int]]] | None = None  # of each prompt its options' tokens, where rows have their own


class Frame(NamedTuple):
    """What stands around every row's body."""

    start: list[int]  # tokens in front of it
    end: list[int]  # tokens behind it: the cue, and in a conversation what ends the turn and opens the model's own
    behind: str  # the plain text that the answer follows directly, and whose last characters its tokens depend on


def frame_of(tokenizer: PreTrainedTokenizerBase, cue: str, chat: Switch = "off") -> Frame:
    r"""What stands around every body.

    Args:
        tokenizer: The writer's tokenizer.
        cue: Ends every body, e.g. ``"\nAnswer:"``.
        chat: Whether body and cue are a user's message, put into the model's chat template; "auto": where it has one.

    Raises:
        ConfigError: If there is no chat template, or it does not show the message as it is.
        AnswerError: If the tokenizer cannot write the cue behind a text.
    """
    if chat == "off" or (chat == "auto" and not tokenizer.chat_template):
        return Frame(_special_tokens_in_front(tokenizer), ids_behind(tokenizer, "", cue), cue)
    if not tokenizer.chat_template:
        raise ConfigError(
            "prompt.chat=on needs a chat template, and this model's tokenizer has none.",
            remedy="Set prompt.chat=off, or choose a model tuned for conversations.",
        )
    message = [{"role": "user", "content": _PLACE + cue}]
    text = str(tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))
    start, *rest = text.split(_PLACE)
    if len(rest) != 1 or not rest[0].startswith(cue.rstrip()):
        raise ConfigError(
            "The model's chat template does not show a user's message once and as it is.", remedy="Set prompt.chat=off."
        )
    names = [*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()]
    last = max((rest[0].rfind(name) + len(name) for name in names if name in rest[0]), default=0)
    # The template says itself where the model wants its special tokens: nothing is put in front of it.
    return Frame(
        encode(tokenizer, start, special=True), ids_behind(tokenizer, "", rest[0], special=True), rest[0][last:]
    )


_PLACE = "<<predgen: the row>>"  # stands for the body in a template; no row is compared with it


class PromptEncoder:
    r"""Turns bodies into prompts that all end in the same cue tokens.

    Body and cue are tokenised apart, so that the answer always stands behind the very same tokens, and so that a body
    that is too long loses tokens of its own and never the cue.

    Args:
        tokenizer: The writer's tokenizer.
        cue: Ends every prompt, e.g. ``"\nAnswer:"``. No blank at its end: most tokenizers write the space before a
            word inside the word's first token.
        max_tokens: Longest prompt, in tokens, cue included.
        long: What is kept of a body that is longer: "head", "tail", "head-tail" (half of each, with nothing between),
            or "windows": all of it, in prompts that overlap by a quarter.
        chat: As `frame_of` takes it.

    Raises:
        ConfigError: If the cue alone does not fit, or `chat` cannot be had.
        AnswerError: If the tokenizer cannot write the cue behind a text.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        cue: str,
        max_tokens: int,
        long: LongText = "head",
        chat: Switch = "off",
    ) -> None:
        self._tokenizer, self._long = tokenizer, long
        self._frame = frame_of(tokenizer, cue, chat)
        self._behind: list[int] = []
        self.max_tokens = max_tokens
        around = len(self._frame.start) + len(self._frame.end)
        self._room = max_tokens - around
        if self._room < 1:
            raise ConfigError(
                f"Prompts of {max_tokens} tokens leave no room for a text: what stands around it takes {around}.",
                remedy="Raise prompt.max_tokens or shorten prompt.cue.",
            )

    @property
    def frame(self) -> Frame:
        """What stands around every body, what `with_behind` put behind it included."""
        return self._frame._replace(end=[*self._frame.end, *self._behind])

    def with_behind(self, tokens: Sequence[int]) -> PromptEncoder:
        """The same with more tokens behind each prompt, e.g. a field's cue; they take no room from the bodies."""
        other = copy.copy(self)
        other._behind = [*self._behind, *tokens]
        other.max_tokens = self.max_tokens + len(tokens)
        return other

    def __call__(self, body: str) -> EncodedPrompt:
        """Encodes one rendered row as one prompt; of windows the first."""
        return self.parts(body)[0]

    def parts(self, body: str) -> list[EncodedPrompt]:
        """Encodes one rendered row as all of its prompts."""
        ids = encode(self._tokenizer, body)
        kept = self._kept(ids)
        cut = 0 if self._long == "windows" else max(0, len(ids) - self._room)
        start, end, _ = self.frame
        return [EncodedPrompt([*start, *part, *end], cut) for part in kept]

    def rows(self, bodies: Sequence[str]) -> EncodedRows:
        """Encodes rendered rows."""
        each = [self.parts(body) for body in bodies]
        return EncodedRows(
            prompts=[part.ids for parts in each for part in parts],
            rows=[row for row, parts in enumerate(each) for _ in parts],
            cut=[parts[0].cut for parts in each],
            options=[self.options(body.options) for body in bodies if isinstance(body, Question)] or None,
        )

    def options(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of options as they stand directly behind a prompt."""
        behind = self._frame.behind
        return many_behind(self._tokenizer, behind, [answer_separator(behind) + text for text in texts])

    def _kept(self, ids: list[int]) -> list[list[int]]:
        if len(ids) <= self._room:
            return [ids]
        if self._long == "head":
            return [ids[: self._room]]
        if self._long == "tail":
            return [ids[-self._room :]]
        if self._long == "head-tail":
            tail = self._room // 2
            return [[*ids[: self._room - tail], *ids[len(ids) - tail :]]]
        step = max(1, self._room * 3 // 4)
        starts = range(0, len(ids) - self._room + step, step)
        # The last window ends where the text does, so that it is as full as the others.
        return [ids[min(start, len(ids) - self._room) :][: self._room] for start in starts]


def _special_tokens_in_front(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the tokenizer puts before a text (BOS, if anything); what it puts behind is of no use in a prompt."""
    plain = encode(tokenizer, "x")
    dressed: list[int] = tokenizer("x", add_special_tokens=True)["input_ids"]
    for start in range(len(dressed) - len(plain) + 1):
        if dressed[start : start + len(plain)] == plain:
            return dressed[:start]
    raise ConfigError("The tokenizer changes a text's own tokens when it adds special tokens; it cannot be used.")
