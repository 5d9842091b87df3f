from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import AnswerTrie, build_trie
from predgen.data.batches import pad_prompts
from predgen.data.prompts import PromptEncoder
from predgen.decoding.generate import generate_freely
from predgen.decoding.score import score_trie
from predgen.model.history import (
    History,
    free_history,
    gold_history,
    mixed_history,
    parallel_history,
    write_history,
)
from predgen.model.prefix import Prefix, Written
from predgen.model.sampling import GumbelNoise, draw_coins
from predgen.model.writer import Writer

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


def coins(table: AnswerTable, value: bool) -> torch.Tensor:
    return torch.full((4, table.depth + 1), value)


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


def test_the_model_is_asked_only_where_a_row_has_a_choice(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a label's first letter all is settled; a coin for gold settles a token too."""
    table = AnswerTable(build_trie(LabelSet(("excellent", "poor", "average")), byte_level, CUE))
    writer, passes = Writer(llama), list[int]()
    encoder = PromptEncoder(byte_level, CUE, 100)
    prefix = writer.prefill(*pad_prompts([encoder(body).ids for body in BODIES]))
    extend = writer.extend

    def counted(*arguments: torch.Tensor) -> Written:
        passes.append(arguments[1].shape[1])
        return extend(*arguments)  # type: ignore[arg-type]

    gold = torch.tensor([0, 1, 2, 0])
    free = mixed_history(writer, prefix, table, gold, coins(table, True))
    monkeypatch.setattr(writer, "extend", counted)
    assert torch.equal(mixed_history(writer, prefix, table, gold, coins(table, True)).ids, free.ids)
    assert len(passes) <= 1, "at most the space before the first letter"
    passes.clear()
    mixed_history(writer, prefix, table, gold, coins(table, False))
    assert not passes
    numbers = AnswerTable(build_trie(NumberGrid(-4, 4, 1), byte_level, CUE))
    only_second = coins(numbers, False)
    only_second[2, 1] = True
    mixed_history(writer, prefix, numbers, GOLD, only_second)
    assert passes == [1]


@pytest.mark.parametrize("write", [mixed_history, free_history])
def test_which_rows_are_own_does_not_depend_on_gold(
    read: tuple[Writer, Prefix], trie: AnswerTrie, write: object
) -> None:
    """A coin for gold that cannot be taken counts too: else what a director learns from would be chosen by gold."""
    table = AnswerTable(trie)
    for seed in range(20):
        coins = draw_coins("token", 0.6, seed, 0, torch.arange(4), table.depth + 1)
        one, other = (write(*read, table, gold, coins) for gold in (GOLD, table.answers - 1 - GOLD))
        assert torch.equal(one.own, other.own)


@pytest.mark.parametrize(
    ("own", "mode"),
    [("greedy", "token"), ("sample", "token"), ("free", "token"), ("greedy", "parallel"), ("sample", "parallel")],
)
def test_writing_leaves_mode_and_gradient_alone(
    read: tuple[Writer, Prefix], trie: AnswerTrie, own: str, mode: str
) -> None:
    writer, prefix = read
    table = AnswerTable(trie)
    writer.train()
    noise = GumbelNoise(0, 0, torch.arange(4), table.choices) if own == "sample" else None
    history = write_history(writer, prefix, table, GOLD, mode, own, coins(table, True), noise)
    assert writer.training
    assert history.own.all()
    assert not history.ids.requires_grad


@pytest.mark.parametrize("write", [mixed_history, parallel_history, free_history])
def test_gold_coins_give_gold_whatever_the_mode(read: tuple[Writer, Prefix], trie: AnswerTrie, write: object) -> None:
    table = AnswerTable(trie)
    history, gold = write(*read, table, GOLD, coins(table, False)), gold_history(table, GOLD)
    assert not history.own.any()
    for name in ("ids", "mask", "targets", "target_mask", "target_weights"):
        width = getattr(gold, name).shape[1]
        assert torch.equal(getattr(history, name)[:, :width], getattr(gold, name)), name
    assert not history.mask[:, gold.mask.shape[1] :].any()
    if history.nodes is not None:
        assert torch.equal(
            torch.where(gold.target_mask, history.nodes, 0), torch.where(gold.target_mask, gold.nodes, 0)
        )


def test_free_tokens_are_what_the_writer_says_when_nothing_holds_it(
    read: tuple[Writer, Prefix], trie: AnswerTrie
) -> None:
    table = AnswerTable(trie)
    history = free_history(*read, table, GOLD, coins(table, True))
    for row, said in enumerate(generate_freely(*read, table)):
        assert history.ids[row][history.mask[row]].tolist() == said[: table.depth]
    assert history.own.all()


def test_free_gold_tokens_are_taken_by_position(
    read: tuple[Writer, Prefix], byte_level: PreTrainedTokenizerFast
) -> None:
    table = AnswerTable(build_trie(SPACES["numbers"], byte_level, CUE))
    mixed = coins(table, False)
    mixed[:, 1] = True
    history = free_history(*read, table, GOLD, mixed)
    gold = gold_history(table, GOLD)
    assert torch.equal(history.ids[:, 0], gold.ids[:, 0])
    assert torch.equal(history.ids[:, 2][history.mask[:, 2]], gold.ids[:, 2][history.mask[:, 2]])
    assert not history.own.any()


def test_parallel_predicts_every_token_from_gold(read: tuple[Writer, Prefix], trie: AnswerTrie) -> None:
    """Restated: position t's own token is the likeliest child of gold's node after a full pass over gold."""
    writer, prefix = read
    table = AnswerTable(trie)
    history = parallel_history(writer, prefix, table, GOLD, coins(table, True))
    assert history.own.all()
    for row, answer in enumerate(GOLD.tolist()):
        node, expected = trie.nodes[0], []
        ids = trie.answers[answer]
        for position in range(len(ids)):
            shown = gold_history(table, GOLD[row : row + 1])
            alone = prefix.rows(row, row + 1)
            logits = alone.logits if position == 0 else writer.extend(alone, shown.ids, shown.mask).logits[:, position]
            token = max(node.children, key=lambda token: logits[0, token].item())
            if token == trie.terminator:
                break
            expected.append(token)
            node = trie.nodes[node.children[ids[position]]]
        assert history.ids[row][history.mask[row]].tolist() == expected


def test_sampled_tokens_follow_the_models_distribution(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    table = AnswerTable(build_trie(SPACES["labels"], byte_level, CUE))
    writer = Writer(llama)
    prompt = PromptEncoder(byte_level, CUE, 100)("a good one").ids
    prefix = writer.prefill(*pad_prompts([prompt] * 600))
    answers = torch.zeros(600, dtype=torch.long)
    noise = GumbelNoise(0, 0, torch.arange(600), table.choices)
    history = mixed_history(writer, prefix, table, answers, torch.ones(600, table.depth + 1, dtype=torch.bool), noise)
    expected = score_trie(writer, prefix.rows(0, 1), table, "space").log_probs.exp()[0]
    drawn = [tuple(ids[mask].tolist()) for ids, mask in zip(history.ids, history.mask, strict=True)]
    trie = build_trie(SPACES["labels"], byte_level, CUE)
    for answer, ids in enumerate(trie.answers):
        # three standard deviations of a share of 600
        assert drawn.count(ids) / 600 == pytest.approx(expected[answer].item(), abs=0.062)


def test_the_nodes_are_those_of_what_was_shown(read: tuple[Writer, Prefix], trie: AnswerTrie) -> None:
    table = AnswerTable(trie)
    mixed: History = mixed_history(*read, table, GOLD, draw_coins("token", 0.5, 1, 0, torch.arange(4), table.depth + 1))
    for row in range(4):
        node, path = 0, [0]
        for token in mixed.ids[row][mixed.mask[row]].tolist():
            node = trie.nodes[node].children[token]
            path.append(node)
        assert mixed.nodes[row, : len(path)].tolist() == path
