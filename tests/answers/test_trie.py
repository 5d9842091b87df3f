from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.answers.trie import AnswerTrie, build_trie
from predgen.data.tokens import decode, encode, ids_behind
from predgen.errors import AnswerError

CUE = "\nAnswer:"
LABELS = LabelSet(("good", "good enough", "goods", "bad", "very bad"))


def path_of(trie: AnswerTrie, answer: int) -> list[int]:
    """Tokens from the root to the answer's leaf."""
    node = next(index for index, node in enumerate(trie.nodes) if node.answer == answer)
    path = []
    while node > 0:
        path.append(trie.nodes[node].token)
        node = trie.nodes[node].parent
    return path[::-1]


@pytest.mark.parametrize("space", [LABELS, NumberGrid(-4, 4, 1), NumberGrid(0, 120, 0)])
def test_every_answer_has_a_leaf_of_its_own(space: LabelSet | NumberGrid, tokenizer: PreTrainedTokenizerFast) -> None:
    trie = build_trie(space, tokenizer, CUE)
    assert sorted(node.answer for node in trie.nodes if not node.children) == list(range(len(space.texts)))
    for answer, text in enumerate(space.texts):
        path = path_of(trie, answer)
        content = path[:-1] if path[-1] == trie.terminator else path
        assert decode(tokenizer, content).strip() == text
        assert tuple(content) == trie.answers[answer]


def test_only_an_answer_that_others_continue_ends_in_a_terminator(byte_level: PreTrainedTokenizerFast) -> None:
    trie = build_trie(LABELS, byte_level, CUE)
    ends = {LABELS.labels[answer]: path_of(trie, answer)[-1] == trie.terminator for answer in range(5)}
    assert ends == {"good": True, "good enough": False, "goods": False, "bad": False, "very bad": False}


def test_answers_are_tokenised_as_they_stand_behind_the_cue(tokenizer: PreTrainedTokenizerFast) -> None:
    trie = build_trie(LABELS, tokenizer, CUE)
    prompt = "The film was very good" + CUE
    for answer, text in enumerate(LABELS.texts):
        assert encode(tokenizer, prompt) + list(trie.answers[answer]) == encode(tokenizer, f"{prompt} {text}")


def test_the_leading_space_belongs_to_the_first_token(byte_level: PreTrainedTokenizerFast) -> None:
    trie = build_trie(LabelSet(("good", "bad")), byte_level, CUE)
    assert [byte_level.convert_ids_to_tokens(list(ids)) for ids in trie.answers] == [["Ġgood"], ["Ġbad"]]


def test_a_cue_that_would_merge_with_the_answer_is_refused(byte_level: PreTrainedTokenizerFast) -> None:
    with pytest.raises(AnswerError, match="merges the end of the cue"):
        ids_behind(byte_level, "\nAnswer: ve", "ry bad")


def test_a_label_that_the_tokenizer_cannot_write_is_named(sentencepiece: PreTrainedTokenizerFast) -> None:
    with pytest.raises(AnswerError, match="cannot write the answer '好'"):
        build_trie(LabelSet(("good", "好")), sentencepiece, CUE)


def test_byte_level_tokenizers_write_any_label(byte_level: PreTrainedTokenizerFast) -> None:
    trie = build_trie(LabelSet(("好", "坏", "ünïcode")), byte_level, CUE)
    assert [decode(byte_level, ids).strip() for ids in trie.answers] == ["好", "坏", "ünïcode"]


def test_special_tokens_in_a_text_stay_text(byte_level: PreTrainedTokenizerFast) -> None:
    ids = encode(byte_level, "good <|end|> bad")
    assert byte_level.eos_token_id not in ids
    assert decode(byte_level, ids) == "good <|end|> bad"


def test_merged_digits_carry_the_heaviest_weight_of_their_digits(
    merged_digits: PreTrainedTokenizerFast,
) -> None:
    grid = NumberGrid(0, 120, 0)
    trie = build_trie(grid, merged_digits, CUE)
    answer = grid.index(120)
    assert merged_digits.convert_ids_to_tokens(list(trie.answers[answer])) == ["Ġ1", "2", "0"]
    assert trie.weights[answer] == (3.0, 2.0, 1.0)


def test_the_tokens_that_spell_numerals(byte_level: PreTrainedTokenizerFast) -> None:
    trie = build_trie(NumberGrid(-4, 4, 1), byte_level, CUE)
    assert sorted(trie.numerals.values()) == list(range(10))
    assert all(decode(byte_level, [token]).strip() == str(value) for token, value in trie.numerals.items())
    assert build_trie(LABELS, byte_level, CUE).numerals == {}
