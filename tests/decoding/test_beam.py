from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.spaces import LabelSet, LogGrid, NumberGrid
from predgen.answers.tables import AnswerTable, Below
from predgen.answers.trie import build_trie
from predgen.config import SearchConfig
from predgen.data.batches import pad_prompts
from predgen.data.prompts import PromptEncoder
from predgen.decoding import beam
from predgen.decoding.beam import search_trie
from predgen.decoding.score import score_trie
from predgen.model.prefix import Prefix, Tree
from predgen.model.rereading import PathwiseWriter
from predgen.model.writer import Writer

CUE = "\nAnswer:"
BODIES = ["bad", "The film was very good and I liked it", "a good one"]
GRID = NumberGrid(-9.9, 19.9, 1)


def prompts_of(tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    return [PromptEncoder(tokenizer, CUE, 100)(body).ids for body in BODIES]


def peaked(model: PreTrainedModel, factor: float = 3.0) -> PreTrainedModel:
    """Sharper logits, as training makes them."""
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(factor)
    return model


def table_of(space: LabelSet | NumberGrid, tokenizer: PreTrainedTokenizerFast, **search: float) -> AnswerTable:
    values = np.array(space.values) if isinstance(space, NumberGrid) else None
    return AnswerTable(build_trie(space, tokenizer, CUE), SearchConfig(exact_nodes=1, **search), values)


@pytest.mark.parametrize("normalise", ["vocabulary", "space"])
def test_what_is_found_is_as_likely_as_brute_force_says_and_the_bound_bounds(
    tiny_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast, normalise: str
) -> None:
    writer = Writer(peaked(tiny_model))
    prefix = writer.prefill(*pad_prompts(prompts_of(byte_level)))
    for nodes in (1, 5, 30, 10_000):
        table = table_of(GRID, byte_level, beam_nodes=nodes, uncovered=0.05)
        exact = score_trie(writer, prefix, table, normalise)
        found = search_trie(writer, prefix, table, normalise)
        assert torch.equal(found.greedy, exact.greedy)
        mass, values = exact.log_probs.double().exp(), np.array(GRID.values)
        assert found.support is not None
        for row in range(3):
            atoms, counts = found.support.values[row].numpy(), found.support.log_counts[row].numpy()
            logs = found.support.log_probs[row].numpy()
            single = (counts == 0) & np.isfinite(logs)
            places = np.searchsorted(values, atoms[single] - 1e-9)
            mine = mass[row].numpy()[places]
            # Among themselves the answers found stand as they truly do.
            if single.sum() > 1 and nodes == 10_000:
                assert np.allclose(np.exp(logs[single]) / np.exp(logs[single]).sum(), mine / mine.sum(), atol=1e-5)
            true_share = float(found.log_mass[row].exp() / mass[row].sum())
            assert found.covered[row] <= true_share + 1e-6
        if nodes == 10_000:
            assert bool((found.covered >= 0.95).all())


def test_opened_to_the_end_it_is_the_exact_posterior(
    llama: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    writer = Writer(llama)
    prefix = writer.prefill(*pad_prompts(prompts_of(tokenizer)))
    labels = LabelSet(("good", "good enough", "goods", "bad", "very bad", "negative", "positive"))
    table = table_of(labels, tokenizer, beam_nodes=1000, uncovered=1e-300)
    found = search_trie(writer, prefix, table)
    assert found.log_posterior is not None
    assert torch.allclose(found.log_posterior, score_trie(writer, prefix, table).log_posterior, atol=1e-4)
    assert torch.allclose(found.covered, torch.ones(3, dtype=torch.float64), atol=1e-9)
    table = table_of(GRID, tokenizer, beam_nodes=1000, uncovered=1e-300)
    found = search_trie(writer, prefix, table)
    assert found.support is not None
    assert np.allclose(found.support.values.numpy(), np.array(GRID.values))
    exact = score_trie(writer, prefix, table).log_posterior
    assert torch.allclose(found.support.log_probs.float(), exact, atol=1e-4)


def test_a_prefix_is_spread_over_what_it_begins(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    """With one prefix a level, all mass of the others lies evenly on their completions; a slow restatement."""
    writer = Writer(llama)
    prompts = prompts_of(byte_level)
    prefix = writer.prefill(*pad_prompts(prompts))
    labels = LabelSet(("good", "good enough", "goods", "bad", "badly", "very bad", "very good"))
    table = table_of(labels, byte_level, beam_nodes=1, uncovered=0.001)
    trie = build_trie(labels, byte_level, CUE)
    found = search_trie(writer, prefix, table)
    assert found.log_posterior is not None
    for row, prompt in enumerate(prompts):
        expected = np.zeros(7)

        def spread(
            node: int, path: tuple[int, ...], mass: float, greedy: bool, prompt: list[int], expected: np.ndarray
        ) -> None:
            children = trie.nodes[node].children
            below = [a for a, ids in enumerate(trie.answers) if (*ids, trie.terminator)[: len(path)] == path]
            if not greedy or not children:
                expected[below] = mass / len(below)
                return
            with torch.no_grad():
                logits = llama(input_ids=torch.tensor([[*prompt, *path]]), use_cache=False).logits[0, -1]
            shares = logits.softmax(-1)
            best = max(children, key=lambda token: float(shares[token]))
            inner = [token for token in children if trie.nodes[children[token]].children]
            # The one prefix that may be opened: where the greedy path ends at once, the likeliest beside it.
            also = max(inner, key=lambda token: float(shares[token])) if not path and best not in inner else best
            for token, child in children.items():
                spread(child, (*path, token), mass * float(shares[token]), token in (best, also), prompt, expected)

        spread(0, (), 1.0, True, prompt, expected)
        assert found.log_posterior[row].exp().numpy() == pytest.approx(expected / expected.sum(), abs=1e-5)


def test_a_prefix_stands_on_a_number_within_what_it_begins(byte_level: PreTrainedTokenizerFast) -> None:
    """Over nineteen orders of magnitude, too: the mean of a few billionths is no difference of sums of billions."""
    grid = LogGrid(-9.9e9, 9.9e9, 1e-9, 2)
    trie = build_trie(grid, byte_level, CUE)
    below = Below(trie, grid.numbers)
    for node in range(len(trie.token)):
        values = grid.numbers[below.answers[below.start[node] : below.start[node] + below.count[node]]]
        assert below.middle is not None
        assert values.min() <= below.middle[node] <= values.max()
        assert values.min() < below.middle[node] < values.max() or len(values) < 3


def test_no_more_logits_than_allowed_are_held_at_once_however_wide_it_goes(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(llama)
    prefix = writer.prefill(*pad_prompts(prompts_of(byte_level)))
    table = table_of(GRID, byte_level, beam_nodes=1000, uncovered=1e-6)
    whole, sizes = search_trie(writer, prefix, table), list[int]()

    def grow(*arguments: object) -> tuple[torch.Tensor, Tree]:
        logits, tree = Writer.grow(writer, *arguments)
        sizes.append(logits.numel())
        return logits, tree

    monkeypatch.setattr(writer, "grow", grow)
    search_trie(writer, prefix, table)
    limit = 20 * 512
    assert max(sizes) > limit
    sizes.clear()
    monkeypatch.setattr(beam, "LOGITS_AT_ONCE", limit)
    parts = search_trie(writer, prefix, table)
    assert max(sizes) <= limit
    assert torch.equal(whole.support.values, parts.support.values)
    assert torch.allclose(whole.support.log_probs, parts.support.log_probs, atol=1e-4)


def test_probabilities_that_no_float_holds_are_compared_all_the_same(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    """A model far from the space: its likeliest answer has less than e^-745."""
    writer = Writer(peaked(llama, 100.0))
    prefix = writer.prefill(*pad_prompts(prompts_of(byte_level)))
    table = table_of(GRID, byte_level)
    exact, found = score_trie(writer, prefix, table), search_trie(writer, prefix, table)
    assert bool((exact.log_mass < -800).all())
    assert torch.allclose(found.log_mass.float(), exact.log_mass, rtol=1e-4)
    assert bool((found.covered >= 0.999).all())


def test_random_tries(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    """Whatever the trie: no answer twice, all mass accounted for, and covered no more than what is true."""
    chance = random.Random(0)
    words = ["good", "bad", "very", "enough", "positive", "film", "7", "x"]
    writer = Writer(peaked(llama, 2.0))
    prefix = writer.prefill(*pad_prompts(prompts_of(byte_level)))
    for _ in range(12):
        labels = sorted({" ".join(chance.choices(words, k=chance.randint(1, 4))) for _ in range(chance.randint(3, 60))})
        table = table_of(
            LabelSet(tuple(labels)), byte_level, beam_nodes=chance.randint(1, 60), uncovered=chance.choice([0.3, 0.01])
        )
        exact, found = score_trie(writer, prefix, table), search_trie(writer, prefix, table)
        assert found.log_posterior is not None
        assert torch.allclose(found.log_posterior.exp().sum(dim=1), torch.ones(3), atol=1e-5)
        assert bool((found.log_mass <= exact.log_mass + 1e-4).all())
        assert bool((found.covered <= (found.log_mass - exact.log_mass).exp() + 1e-4).all())
        assert torch.equal(found.greedy, exact.greedy)


def test_it_widens_until_enough_is_covered_and_says_when_it_may_not(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    writer = Writer(llama)
    prefix = writer.prefill(*pad_prompts(prompts_of(byte_level)))
    shares = [
        search_trie(writer, prefix, table_of(GRID, byte_level, beam_nodes=nodes, uncovered=0.01)).covered.min()
        for nodes in (3, 20, 60, 500)
    ]
    assert shares == sorted(shares) and shares[0] < 0.9 and shares[-1] >= 0.99


def test_a_row_finds_the_same_alone(tiny_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    writer = Writer(peaked(tiny_model))
    table = table_of(GRID, byte_level, beam_nodes=40, uncovered=0.02)
    prompts = prompts_of(byte_level)
    together = search_trie(writer, writer.prefill(*pad_prompts(prompts)), table)
    for row, prompt in enumerate(prompts):
        alone = search_trie(writer, writer.prefill(*pad_prompts([prompt])), table)
        assert alone.support is not None and together.support is not None
        kept = torch.isfinite(together.support.log_probs[row])
        assert torch.equal(alone.support.values[0], together.support.values[row][kept])
        assert torch.allclose(alone.support.log_probs[0], together.support.log_probs[row][kept], atol=1e-4)
        assert alone.covered[0].item() == pytest.approx(together.covered[row].item(), abs=1e-4)


def grown_by_paths(writer: Writer, prefix: Prefix, ids: torch.Tensor) -> torch.Tensor:
    return writer.extend(prefix, ids, torch.ones_like(ids)).logits[:, -1]


def test_a_tree_that_grows_reads_as_plain_rows_do(
    tiny_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    """Nodes of different depths and parents in one step, against every path read by itself; windows included."""
    for kind in (Writer, PathwiseWriter):
        writer = kind(tiny_model)
        prefix = writer.prefill(*pad_prompts(prompts_of(byte_level)))
        tree = Tree.bare(prefix)
        with torch.no_grad():
            _, tree = writer.grow(prefix, tree, torch.tensor([[5, 6]] * 3), torch.full((3, 2), -1))
            ids, parent = torch.tensor([[7, 8], [9, 10], [11, 12]]), torch.tensor([[0, -1], [1, 1], [-1, 0]])
            logits, tree = writer.grow(prefix, tree, ids, parent)
            further, _ = writer.grow(prefix, tree, torch.tensor([[13], [14], [15]]), torch.tensor([[2], [3], [3]]))
            paths = {(0, 0): [5, 7], (0, 1): [8], (1, 0): [6, 9], (1, 1): [6, 10], (2, 0): [11], (2, 1): [5, 12]}
            for (row, node), path in paths.items():
                plain = grown_by_paths(writer, prefix.rows(row, row + 1), torch.tensor([path]))
                assert torch.allclose(logits[row, node], plain[0], atol=1e-4)
            for row, path in enumerate([[5, 7, 13], [6, 10, 14], [5, 12, 15]]):
                plain = grown_by_paths(writer, prefix.rows(row, row + 1), torch.tensor([path]))
                assert torch.allclose(further[row, 0], plain[0], atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_models_that_cannot_branch_search_path_by_path(byte_level: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    config = MambaConfig(vocab_size=512, hidden_size=32, num_hidden_layers=2, state_size=8, intermediate_size=64)
    writer = PathwiseWriter(MambaForCausalLM(config)).eval()
    prefix = writer.prefill(*pad_prompts(prompts_of(byte_level)))
    table = table_of(LabelSet(("good", "good enough", "bad", "very bad")), byte_level, uncovered=1e-9)
    found = search_trie(writer, prefix, table)
    assert found.log_posterior is not None
    assert torch.allclose(found.log_posterior, score_trie(writer, prefix, table).log_posterior, atol=1e-4)
