from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from predgen.data.prompts import PromptEncoder
from predgen.data.tokens import decode
from predgen.errors import ConfigError

CUE = "\nAnswer:"


def test_bos_stands_in_front_where_the_model_wants_it(
    byte_level: PreTrainedTokenizerFast, sentencepiece: PreTrainedTokenizerFast
) -> None:
    assert PromptEncoder(sentencepiece, CUE, 50)("good film").ids[0] == sentencepiece.bos_token_id
    assert decode(byte_level, PromptEncoder(byte_level, CUE, 50)("good film").ids) == "good film" + CUE


def test_a_long_text_loses_its_end_and_keeps_the_cue(tokenizer: PreTrainedTokenizerFast) -> None:
    whole = PromptEncoder(tokenizer, CUE, 500)("very good film " * 20)
    cut = PromptEncoder(tokenizer, CUE, 20)("very good film " * 20)
    assert len(cut.ids) == 20
    assert cut.cut == len(whole.ids) - 20
    cue_length = len(whole.ids) - len(PromptEncoder(tokenizer, "", 500)("very good film " * 20).ids)
    assert cut.ids[-cue_length:] == whole.ids[-cue_length:]
    assert cut.ids[:-cue_length] == whole.ids[: 20 - cue_length]
    assert whole.cut == 0


def test_a_context_without_room_is_refused(byte_level: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ConfigError, match="no room for a text"):
        PromptEncoder(byte_level, CUE, 3)


def test_what_is_kept_of_a_long_text(byte_level: PreTrainedTokenizerFast) -> None:
    text = "".join(str(number % 10) for number in range(30))  # a token a digit
    cue = PromptEncoder(byte_level, CUE, 100)("").ids
    room = 8

    def kept(long: str) -> list[str]:
        parts = PromptEncoder(byte_level, CUE, room + len(cue), long).parts(text)
        assert all(part.ids[-len(cue) :] == cue for part in parts)
        return [decode(byte_level, part.ids[: -len(cue)]) for part in parts]

    assert kept("head") == ["01234567"]
    assert kept("tail") == ["23456789"]
    assert kept("head-tail") == ["01236789"]
    windows = kept("windows")
    assert windows == ["01234567", "67890123", "23456789", "89012345", "23456789"]
    rows = PromptEncoder(byte_level, CUE, room + len(cue), "windows").rows([text, "7", text])
    assert rows.rows == [0] * 5 + [1] + [2] * 5
    assert rows.cut == [0, 0, 0]
    assert PromptEncoder(byte_level, CUE, room + len(cue), "tail").rows(["7", text]).cut == [0, 22]
