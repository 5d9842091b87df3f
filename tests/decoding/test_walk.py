"""Free numbers: written under the grammar, in training as at inference."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.free_number import FreeNumber
from predgen.answers.free_table import FreeTable
from predgen.answers.grammar import AnswerGrammar, FreeAnswer, build_grammar
from predgen.data.batches import pad_prompts
from predgen.data.prompts import PromptEncoder
from predgen.decoding.decode import decode as decode_answers
from predgen.decoding.score import widen
from predgen.decoding.walk import walk
from predgen.model.history import free_history, gold_history, mixed_history, parallel_history, write_history
from predgen.model.prefix import Prefix
from predgen.model.sampling import GumbelNoise, draw_coins
from predgen.model.writer import Writer

CUE = "\nAnswer:"
BODIES = ["bad", "The film was very good and I liked it", "a good one", "terrible"]
GOLD = [FreeAnswer(42, "good film"), FreeAnswer(-1.5, "very bad film, not good"), FreeAnswer(7, ""), FreeAnswer(0, "x")]
INDEX = torch.arange(4)
SPACES = {
    "number": FreeNumber(digits=3, decimals=1, negative=True),
    "solution": FreeNumber(digits=3, decimals=1, negative=True, marker="Rating:", solution_tokens=9),
}


@pytest.fixture(params=SPACES)
def grammar(request: pytest.FixtureRequest, byte_level: PreTrainedTokenizerFast) -> AnswerGrammar:
    return build_grammar(SPACES[request.param], byte_level, CUE, GOLD)


@pytest.fixture
def table(grammar: AnswerGrammar) -> FreeTable:
    return FreeTable(grammar, 512)


@pytest.fixture
def read(tiny_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> tuple[Writer, Prefix]:
    writer = Writer(tiny_model)
    encoder = PromptEncoder(byte_level, CUE, 100)
    return writer, writer.prefill(*pad_prompts([encoder(body).ids for body in BODIES]))


def slowly(writer: Writer, grammar: AnswerGrammar, prompt: list[int]) -> list[int]:
    """One row, token by token, each with a full pass over all before it and a loop over the vocabulary."""
    written: list[int] = []
    state = 0
    while True:
        ids = torch.tensor([[*prompt, *written]])
        logits = widen(writer.lm(input_ids=ids, use_cache=False).logits[0, -1]).tolist()
        allowed = [token for token in range(len(logits)) if grammar.follow(state, token) >= 0]
        token = max(allowed, key=lambda token: logits[token])
        if state < grammar.text_states and (
            max(range(len(logits)), key=lambda token: logits[token]) == grammar.terminator
            or len(written) >= grammar.solution_tokens
        ):
            token = grammar.marker[state]
        if token == grammar.terminator:
            return written
        written.append(token)
        state = grammar.follow(state, token)


def test_it_writes_what_a_slow_walk_writes(
    read: tuple[Writer, Prefix], grammar: AnswerGrammar, table: FreeTable, byte_level: PreTrainedTokenizerFast
) -> None:
    walked = walk(*read, table)
    encoder = PromptEncoder(byte_level, CUE, 100)
    for row, body in enumerate(BODIES):
        assert walked.ids[row][walked.mask[row]].tolist() == slowly(read[0], grammar, encoder(body).ids)
    assert walked.own.all()


def test_whatever_is_written_ends_in_a_number_of_the_space(
    read: tuple[Writer, Prefix], grammar: AnswerGrammar, table: FreeTable, byte_level: PreTrainedTokenizerFast
) -> None:
    space = SPACES["solution" if grammar.marker else "number"]
    for seed in range(10):  # drawn, so that it goes everywhere
        noise = GumbelNoise(seed, 0, INDEX, table.choices)
        walked = walk(*read, table, noise=noise)
        numbers = table.numbers(walked.ids, walked.mask & table.reads(walked.nodes[:, 1:]))
        for row in range(4):
            ids = walked.ids[row][walked.mask[row]]
            text = byte_level.decode(ids)
            assert space.parse(text) == float(numbers[row]), text
            assert len(ids) <= table.depth


def test_decoding_gives_numbers_and_texts(
    read: tuple[Writer, Prefix], grammar: AnswerGrammar, table: FreeTable, byte_level: PreTrainedTokenizerFast
) -> None:
    decoded = decode_answers(*read, table, "vocabulary")
    assert decoded.scores.log_posterior is None and decoded.scores.greedy is None
    assert decoded.scores.number.dtype == torch.float64
    assert decoded.scores.written.shape == (4, table.depth)
    space = SPACES["solution" if grammar.marker else "number"]
    for row in range(4):
        ids = [token for token in decoded.scores.written[row].tolist() if token >= 0]
        assert space.parse(byte_level.decode(ids)) == float(decoded.scores.number[row])
        # The director reads the number alone.
        spelled = "".join(grammar.pieces[token] for token in decoded.ids[row][decoded.read[row]].tolist())
        assert float(spelled) + 0.0 == float(decoded.scores.number[row])


def test_own_histories_are_what_inference_writes(read: tuple[Writer, Prefix], table: FreeTable) -> None:
    """`sequence` at p = 1 is free running."""
    coins = draw_coins("sequence", 1.0, 0, 0, INDEX, table.depth + 1)
    history, walked = mixed_history(*read, table, INDEX, coins), walk(*read, table)
    assert history.own.all()
    width = history.ids.shape[1]
    assert torch.equal(history.ids, walked.ids[:, :width])
    assert torch.equal(history.mask, walked.mask[:, :width]) and not walked.mask[:, width:].any()
    flipped = mixed_history(*read, table, INDEX.flip(0), coins)
    assert torch.equal(history.ids, flipped.ids) and torch.equal(history.read, flipped.read)


@pytest.mark.parametrize("write", [mixed_history, parallel_history, free_history])
def test_gold_coins_give_gold(read: tuple[Writer, Prefix], table: FreeTable, write: object) -> None:
    coins = torch.zeros((4, table.depth + 1), dtype=torch.bool)
    history, gold = write(*read, table, INDEX, coins), gold_history(table, INDEX)
    assert torch.equal(history.ids, gold.ids) and torch.equal(history.mask, gold.mask)
    assert torch.equal(history.target_mask, gold.target_mask)
    assert not history.own.any()


@pytest.mark.parametrize(
    ("own", "mode"),
    [("greedy", "token"), ("sample", "token"), ("free", "token"), ("greedy", "parallel"), ("sample", "parallel")],
)
def test_every_mode_leaves_targets_within_gold(
    read: tuple[Writer, Prefix], table: FreeTable, own: str, mode: str
) -> None:
    coins = draw_coins(mode, 0.5, 0, 0, INDEX, table.depth + 1)
    noise = GumbelNoise(0, 0, INDEX, table.choices) if own == "sample" else None
    history = write_history(*read, table, INDEX, mode, own, coins, noise)
    assert (history.target_mask <= table.target_mask[:, : history.target_mask.shape[1]]).all()
    assert (history.read <= history.mask).all()
    assert history.read.any(dim=1).eq(history.mask.any(dim=1)).all()


def test_neither_batch_nor_padding_changes_what_is_written(
    read: tuple[Writer, Prefix], table: FreeTable, byte_level: PreTrainedTokenizerFast
) -> None:
    together = walk(*read, table)
    encoder = PromptEncoder(byte_level, CUE, 100)
    for row, body in enumerate(BODIES):
        alone = walk(read[0], read[0].prefill(*pad_prompts([encoder(body).ids])), table)
        assert alone.ids[0][alone.mask[0]].tolist() == together.ids[row][together.mask[row]].tolist()
