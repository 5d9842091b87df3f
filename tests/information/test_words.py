from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from predgen.data.tokens import encode
from predgen.information.words import words_of


def spelled(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    ids = encode(tokenizer, text)
    words = words_of(tokenizer, ids, 0, len(ids))
    # Neighbours meet, and nothing is left out.
    assert [word.start for word in words] == [0, *(word.stop for word in words[:-1])]
    assert words[-1].stop == len(ids)
    return [word.text.strip() for word in words]


def test_sub_words_merge_and_marks_stand_apart(byte_level: PreTrainedTokenizerFast) -> None:
    assert spelled(byte_level, "An enormously bad film, wasn't it?") == [
        "An", "enormously", "bad", "film", ",", "wasn't", "it", "?",
    ]  # fmt: skip


def test_each_kind_of_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    assert spelled(tokenizer, "The terrible film was not good") == ["The", "terrible", "film", "was", "not", "good"]


@pytest.mark.parametrize("text", ["naïve café", "日本 語", "good 🎬 film", "a\n\nb", "half-baked 13.4"])
def test_characters_of_several_bytes_stay_whole(byte_level: PreTrainedTokenizerFast, text: str) -> None:
    ids = encode(byte_level, text)
    words = words_of(byte_level, ids, 0, len(ids))
    assert "".join(word.text for word in words) == text
    assert "�" not in "".join(word.text for word in words)


def test_a_stretch_inside_a_prompt(byte_level: PreTrainedTokenizerFast) -> None:
    ids = encode(byte_level, "The film was good\nAnswer:")
    inner = len(encode(byte_level, "The film was good"))
    assert [word.text for word in words_of(byte_level, ids, 0, inner)] == ["The", " film", " was", " good"]
