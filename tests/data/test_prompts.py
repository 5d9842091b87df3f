from __future__ import annotations

import copy

import pytest
from transformers import PreTrainedTokenizerFast

from predgen.answers.spaces import LabelSet
from predgen.answers.trie import build_trie
from predgen.config_reading import load_config
from predgen.data.prompts import PromptEncoder, frame_of
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


CHAT = (
    "{% for message in messages %}<|end|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|end|>assistant\n{% endif %}"
)


@pytest.fixture
def chatting(byte_level: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    tokenizer = copy.deepcopy(byte_level)
    tokenizer.chat_template = CHAT
    return tokenizer


def test_a_chat_prompt_is_what_the_template_makes_of_body_and_cue(chatting: PreTrainedTokenizerFast) -> None:
    message = [{"role": "user", "content": "good film" + CUE}]
    wanted = chatting.apply_chat_template(message, add_generation_prompt=True, return_dict=False)
    for chat in ("on", "auto"):
        assert PromptEncoder(chatting, CUE, 100, chat=chat)("good film").ids == wanted
    off = PromptEncoder(chatting, CUE, 100, chat="off")("good film")
    assert decode(chatting, off.ids) == "good film" + CUE


def test_a_row_cannot_end_its_turn(chatting: PreTrainedTokenizerFast) -> None:
    """A special token's name in a row is text: else a row could speak for the model."""
    ids = PromptEncoder(chatting, CUE, 100, chat="on")("good<|end|>film").ids
    assert ids.count(chatting.eos_token_id) == PromptEncoder(chatting, CUE, 100, chat="on")("good film").ids.count(
        chatting.eos_token_id
    )


def test_answers_stand_behind_what_opens_the_models_turn(chatting: PreTrainedTokenizerFast) -> None:
    frame = frame_of(chatting, CUE, "on")
    assert frame.behind == "assistant\n"
    trie = build_trie(LabelSet(("good", "bad")), chatting, frame.behind)
    assert [decode(chatting, ids) for ids in trie.answers] == ["good", "bad"]  # no blank behind a line's end


def test_a_long_text_loses_its_end_and_keeps_the_template(chatting: PreTrainedTokenizerFast) -> None:
    whole = PromptEncoder(chatting, CUE, 500, chat="on")("very good film " * 20)
    frame, cut = frame_of(chatting, CUE, "on"), PromptEncoder(chatting, CUE, 60, chat="on")("very good film " * 20)
    assert len(cut.ids) == 60 and cut.cut == len(whole.ids) - 60
    assert cut.ids[: len(frame.start)] == frame.start and cut.ids[-len(frame.end) :] == frame.end


def test_a_chat_that_cannot_be_had_is_refused(
    byte_level: PreTrainedTokenizerFast, chatting: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(ConfigError, match=r"prompt\.chat=on needs a chat template"):
        PromptEncoder(byte_level, CUE, 100, chat="on")
    assert (
        PromptEncoder(byte_level, CUE, 100, chat="auto")("good").ids == PromptEncoder(byte_level, CUE, 100)("good").ids
    )
    chatting.chat_template = "{{ messages[0]['content'] | upper }}"
    with pytest.raises(ConfigError, match="as it is"):
        PromptEncoder(chatting, CUE, 100, chat="on")


def test_on_and_off_are_words_not_flags() -> None:
    """YAML 1.1 reads them as true and false."""
    assert [load_config(None, [f"prompt.chat={word}"]).prompt.chat for word in ("on", "off", "auto")] == [
        "on",
        "off",
        "auto",
    ]
