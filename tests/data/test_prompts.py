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
