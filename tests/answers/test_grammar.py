from __future__ import annotations

import copy
import itertools
import random

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from predgen.answers.free_number import FreeNumber
from predgen.answers.free_table import FreeTable
from predgen.answers.grammar import AnswerGrammar, FreeAnswer, build_grammar, longest_solution, number_pieces
from predgen.data.tokens import decode, ids_behind
from predgen.errors import AnswerError

CUE = "\nAnswer:"
MARKER = "Rating:"  # what all test tokenizers can write
SPACE = FreeNumber(digits=2, decimals=1, negative=True)
SOLVED = FreeNumber(digits=2, decimals=1, negative=True, marker=MARKER, solution_tokens=12)


def accepted(grammar: AnswerGrammar, ids: tuple[int, ...]) -> bool:
    state = 0
    for token in (*ids, grammar.terminator):
        state = grammar.follow(state, token)
        if state < 0:
            return False
    return True


def test_it_accepts_exactly_what_the_space_reads(tokenizer: PreTrainedTokenizerFast) -> None:
    """Every string over the alphabet up to five characters, tokenised, against the space's own regular expression."""
    grammar = build_grammar(SPACE, tokenizer, CUE)
    by_piece = {piece: token for token, piece in grammar.pieces.items()}
    seen = 0
    for length in range(1, 6):
        for characters in itertools.product("-.019", repeat=length):
            text = "".join(characters)
            path = tuple(by_piece[character] for character in (" ", *characters))
            assert accepted(grammar, path) == (SPACE.read(text) is not None), text
            seen += accepted(grammar, path)
    assert seen > 50


def test_merged_tokens_are_followed_character_by_character(tokenizer: PreTrainedTokenizerFast) -> None:
    """Any string of number tokens is accepted if and only if what it spells is."""
    grammar = build_grammar(SPACE, tokenizer, CUE)
    chance, tokens, right = random.Random(0), list(grammar.pieces), 0
    for _ in range(20_000):
        path = tuple(chance.choice(tokens) for _ in range(chance.randint(1, 4)))
        text = "".join(grammar.pieces[token] for token in path)
        fits = text.startswith(" ") and not text[1:].startswith(" ") and SPACE.read(text[1:]) is not None
        fits = fits and text == text.rstrip()
        assert accepted(grammar, path) == fits, repr(text)
        right += fits
    assert right > 50


def test_pieces_are_what_tokens_spell(tokenizer: PreTrainedTokenizerFast) -> None:
    pieces = number_pieces(tokenizer)
    before = tokenizer("x", add_special_tokens=False)["input_ids"]
    assert {"0", "9", "-", "."} <= set(pieces.values())
    for token, piece in pieces.items():
        assert decode(tokenizer, [*before, token]) == "x" + piece


def test_gold_answers_are_tokenised_where_they_stand(tokenizer: PreTrainedTokenizerFast) -> None:
    grammar = build_grammar(SPACE, tokenizer, CUE, [FreeAnswer(42), FreeAnswer(-3.5), FreeAnswer(0)])
    for ids, text in zip(grammar.answers, ("42", "-3.5", "0"), strict=True):
        assert list(ids) == ids_behind(tokenizer, CUE, " " + text)
        assert accepted(grammar, ids)
    assert [max(weights) for weights in grammar.weights] == [2.0, 3.0, 1.0]


def test_behind_a_line_break_no_blank_stands(byte_level: PreTrainedTokenizerFast) -> None:
    grammar = build_grammar(SPACE, byte_level, "assistant\n", [FreeAnswer(42)])
    assert decode(byte_level, grammar.answers[0]) == "42"
    assert not accepted(grammar, tuple(ids_behind(byte_level, CUE, " 42")))


def test_solutions_are_free_and_end_in_marker_and_number(tokenizer: PreTrainedTokenizerFast) -> None:
    grammar = build_grammar(SOLVED, tokenizer, CUE, [FreeAnswer(7, "good + bad 3 4"), FreeAnswer(7, None)])
    assert decode(tokenizer, grammar.answers[0]).strip() == f"good + bad 3 4\n{MARKER} 7"
    assert decode(tokenizer, grammar.answers[1]).strip() == f"{MARKER} 7"
    assert accepted(grammar, grammar.answers[0])
    assert not accepted(grammar, grammar.answers[0][:-2])  # a solution without its number is no answer
    # Only the number's characters weigh.
    number = len(ids_behind(tokenizer, MARKER, " 7"))
    assert set(grammar.weights[0][:-number]) == {0.0}
    assert grammar.weights[0][-1] == 1.0
    assert longest_solution(tokenizer, CUE, ["good + bad 3 4", "good"]) == len(
        ids_behind(tokenizer, CUE, " good + bad 3 4")
    )


def test_the_marker_is_found_wherever_it_begins(byte_level: PreTrainedTokenizerFast) -> None:
    """The count of what has been written of the marker, against looking at the whole text each time."""
    grammar = build_grammar(FreeNumber(2, 0, False, "x", 9), byte_level, CUE)
    for marker in ((1, 1, 2), (1, 2, 1, 3), (1, 1, 1), (1, 2, 1, 2, 3)):
        table = build_like(grammar, marker)
        for tokens in itertools.product((1, 2, 3, 4), repeat=6):
            state = 0
            for count in range(1, 7):
                state = table.follow(state, tokens[count - 1])
                written = tokens[:count]
                if state == len(marker):
                    assert written[-len(marker) :] == marker
                    break
                longest = max(k for k in range(len(marker)) if k <= count and written[count - k :] == marker[:k])
                assert state == longest, (marker, written)


def build_like(grammar: AnswerGrammar, marker: tuple[int, ...]) -> AnswerGrammar:
    from dataclasses import replace

    from predgen.answers.grammar import _after_text

    after = tuple(_after_text(marker, state) for state in range(len(marker)))
    return replace(grammar, text_states=len(marker), marker=marker, after_text=after)


def test_a_solution_that_holds_the_marker_is_refused(byte_level: PreTrainedTokenizerFast) -> None:
    with pytest.raises(AnswerError, match=r"Training answer 1 cannot be written.*once"):
        build_grammar(SOLVED, byte_level, CUE, [FreeAnswer(7, "a"), FreeAnswer(7, f"b\n{MARKER} 6, or")])


def test_a_terminator_that_stands_for_unknown_text_too_ends_no_solution(byte_level: PreTrainedTokenizerFast) -> None:
    """As GPT-2 has it; behind it the number would be missing."""
    both = copy.deepcopy(byte_level)
    both.unk_token = both.eos_token
    table = FreeTable(build_grammar(SOLVED, both, CUE), 512)
    likeliest, next_best = 511, both.eos_token_id  # the first of them is no token of the tokenizer
    logits = torch.zeros(512).index_fill(0, torch.tensor(likeliest), 9.0).index_fill(0, torch.tensor(next_best), 8.0)
    assert int(table.choose(torch.tensor(0), logits, 0)) != both.eos_token_id
    assert int(table.follow(torch.tensor(0), torch.tensor(both.eos_token_id))) == -1


def test_a_marker_that_cannot_be_written_is_refused(sentencepiece: PreTrainedTokenizerFast) -> None:
    with pytest.raises(AnswerError, match="cannot write the marker"):
        build_grammar(FreeNumber(2, 0, False, "好", 5), sentencepiece, CUE)


def test_the_table_walks_as_the_grammar_does(tokenizer: PreTrainedTokenizerFast) -> None:
    grammar = build_grammar(SOLVED, tokenizer, CUE, [FreeAnswer(42, "good 4"), FreeAnswer(-1.5, "bad")])
    table = FreeTable(grammar, 512)
    for state in range(len(grammar.moves)):
        for token in range(len(tokenizer)):
            wanted = grammar.follow(state, token)
            assert int(table.follow(torch.tensor(state), torch.tensor(token))) == wanted, (state, token)
    for strange in (511, tokenizer.eos_token_id, -1):
        assert int(table.follow(torch.tensor(0), torch.tensor(strange))) == -1
    for row, ids in enumerate(grammar.answers):
        mask = table.target_mask[row]
        assert table.targets[row][mask].tolist() == [*ids, grammar.terminator]
        reached = table.path_nodes[row][1 : len(ids) + 1]
        number = "".join(
            grammar.pieces[token] for token, part in zip(ids, table.reads(reached).tolist(), strict=True) if part
        )
        assert float(number) == (42, -1.5)[row]
