from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import AnswerTrie, build_trie
from predgen.data.batches import pad_prompts
from predgen.data.prompts import PromptEncoder
from predgen.decoding.score import score_trie
from predgen.model.sampling import LinearSchedule, draw_coins, gold_history, mixed_history
from predgen.model.writer import Prefix, Writer

CUE = "\nAnswer:"
BODIES = ["bad", "The film was very good and I liked it", "a good one", "terrible"]
SPACES = {
    "labels": LabelSet(("good", "good enough", "goods", "bad", "very bad")),
    "numbers": NumberGrid(-4, 4, 1),
    "integers": NumberGrid(0, 120, 0),
}
GOLD = torch.tensor([1, 4, 0, 2])


@pytest.fixture(params=SPACES)
def trie(request: pytest.FixtureRequest, byte_level: PreTrainedTokenizerFast) -> AnswerTrie:
    return build_trie(SPACES[request.param], byte_level, CUE)


@pytest.fixture
def read(tiny_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> tuple[Writer, Prefix]:
    writer = Writer(tiny_model)
    encoder = PromptEncoder(byte_level, CUE, 100)
    return writer, writer.prefill(*pad_prompts([encoder(body).ids for body in BODIES]))


def test_the_linear_schedule_by_hand() -> None:
    schedule = LinearSchedule(start=0.2, end=1.0, steps=4)
    assert [schedule(step) for step in (0, 1, 4, 9)] == pytest.approx([0.2, 0.4, 1.0, 1.0])


def test_coins_belong_to_the_row_whatever_the_batch() -> None:
    rows = torch.tensor([5, 2, 9, 7])
    whole = draw_coins("token", 0.5, seed=3, step=11, row_ids=rows, width=6)
    halves = [draw_coins("token", 0.5, 3, 11, part, 6) for part in (rows[:2], rows[2:])]
    assert torch.equal(whole, torch.cat(halves))
    assert not torch.equal(whole, draw_coins("token", 0.5, 3, 12, rows, 6))
    assert not torch.equal(whole, draw_coins("token", 0.5, 4, 11, rows, 6))


def test_coins_come_up_as_often_as_asked() -> None:
    coins = draw_coins("token", 0.3, 0, 0, torch.arange(2000), 5)
    assert coins.float().mean().item() == pytest.approx(0.3, abs=0.02)
    rows = draw_coins("sequence", 0.3, 0, 0, torch.arange(2000), 5)
    assert bool((rows == rows[:, :1]).all())
    assert rows[:, 0].float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert not draw_coins("token", 0.0, 0, 0, torch.arange(9), 5).any()
    assert draw_coins("token", 1.0, 0, 0, torch.arange(9), 5).all()


def test_without_own_tokens_the_history_is_gold(read: tuple[Writer, Prefix], trie: AnswerTrie) -> None:
    table = AnswerTable(trie)
    gold = gold_history(table, GOLD)
    mixed = mixed_history(*read, table, GOLD, torch.zeros((4, table.depth + 1), dtype=torch.bool))
    assert not mixed.own.any()
    for row in range(4):
        expected = list(trie.answers[GOLD[row]])
        for history in (gold, mixed):
            assert history.ids[row][history.mask[row]].tolist() == expected
            assert history.targets[row][history.target_mask[row]].tolist() == [*expected, trie.terminator]


def test_with_own_tokens_alone_the_history_is_what_inference_writes(
    read: tuple[Writer, Prefix], trie: AnswerTrie
) -> None:
    table = AnswerTable(trie)
    mixed = mixed_history(*read, table, GOLD, torch.ones((4, table.depth + 1), dtype=torch.bool))
    greedy = score_trie(*read, table).greedy
    assert mixed.own.all()
    for row in range(4):
        assert mixed.ids[row][mixed.mask[row]].tolist() == list(trie.answers[greedy[row]])


def test_a_mixed_history_is_always_a_path_of_the_trie(read: tuple[Writer, Prefix], trie: AnswerTrie) -> None:
    table = AnswerTable(trie)
    for seed in range(20):
        coins = draw_coins("token", 0.5, seed, 0, torch.arange(4), table.depth + 1)
        mixed = mixed_history(*read, table, GOLD, coins)
        for row in range(4):
            assert tuple(mixed.ids[row][mixed.mask[row]].tolist()) in trie.answers


def test_targets_end_with_the_shorter_of_gold_and_history(read: tuple[Writer, Prefix], trie: AnswerTrie) -> None:
    table = AnswerTable(trie)
    mixed = mixed_history(*read, table, GOLD, torch.ones((4, table.depth + 1), dtype=torch.bool))
    for row in range(4):
        gold_length = len(trie.answers[GOLD[row]]) + 1
        assert int(mixed.target_mask[row].sum()) == min(gold_length, int(mixed.mask[row].sum()) + 1)


def test_an_own_history_does_not_depend_on_gold(read: tuple[Writer, Prefix], trie: AnswerTrie) -> None:
    table = AnswerTable(trie)
    coins = torch.ones((4, table.depth + 1), dtype=torch.bool)
    one = mixed_history(*read, table, GOLD, coins)
    other = mixed_history(*read, table, GOLD.flip(0), coins)
    assert torch.equal(one.ids, other.ids)
    assert torch.equal(one.mask, other.mask)


def test_writing_leaves_mode_and_gradient_alone(read: tuple[Writer, Prefix], trie: AnswerTrie) -> None:
    writer, prefix = read
    writer.train()
    mixed = mixed_history(writer, prefix, AnswerTable(trie), GOLD, torch.ones((4, trie.depth + 1), dtype=torch.bool))
    assert writer.training
    assert not mixed.ids.requires_grad
