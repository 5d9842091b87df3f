from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import AnswerTrie, build_trie
from predgen.data.batches import pad_prompts
from predgen.data.prompts import PromptEncoder
from predgen.decoding import score
from predgen.decoding.score import score_trie, trie_scores
from predgen.model.writer import Writer

CUE = "\nAnswer:"
BODIES = ["bad", "The film was very good and I liked it", "a good one"]
SPACES = {
    "labels": LabelSet(("good", "good enough", "goods", "bad", "very bad")),
    "signed": NumberGrid(-4, 4, 1),
    "integers": NumberGrid(0, 120, 0),
    "short": NumberGrid(-1, 1, 1),
    "single tokens": LabelSet(("good", "bad")),
}


def brute_force(model: PreTrainedModel, trie: AnswerTrie, prompts: list[list[int]]) -> torch.Tensor:
    """One full, unpadded pass for each row and answer."""
    rows = []
    for prompt in prompts:
        row = []
        for ids in trie.answers:
            node = trie.nodes[0]
            for token in ids:
                node = trie.nodes[node.children[token]]
            path = [*ids, trie.terminator] if node.children else list(ids)
            with torch.no_grad():
                logs = model(input_ids=torch.tensor([prompt + path]), use_cache=False).logits[0].log_softmax(-1)
            row.append(sum(float(logs[len(prompt) - 1 + place, token]) for place, token in enumerate(path)))
        rows.append(row)
    return torch.tensor(rows)


@pytest.mark.parametrize("name", SPACES)
def test_one_tree_pass_equals_a_full_pass_an_answer(
    name: str, tiny_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    trie = build_trie(SPACES[name], tokenizer, CUE)
    encoder = PromptEncoder(tokenizer, CUE, 100)
    prompts = [encoder(body).ids for body in BODIES]
    writer = Writer(tiny_model)
    scored = score_trie(writer, writer.prefill(*pad_prompts(prompts)), AnswerTable(trie))
    expected = brute_force(tiny_model, trie, prompts)
    assert scored.log_probs.shape == expected.shape
    assert (scored.log_probs - expected).abs().max() < 1e-4
    assert torch.allclose(scored.log_posterior.exp().sum(dim=1), torch.ones(3), atol=1e-5)
    assert bool((scored.log_mass < 0).all())


def test_greedy_follows_the_likeliest_child(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    trie = build_trie(SPACES["signed"], byte_level, CUE)
    prompts = [PromptEncoder(byte_level, CUE, 100)(body).ids for body in BODIES]
    writer = Writer(llama)
    greedy = score_trie(writer, writer.prefill(*pad_prompts(prompts)), AnswerTable(trie)).greedy
    for prompt, answer in zip(prompts, greedy.tolist(), strict=True):
        node, ids = trie.nodes[0], list(prompt)
        while node.children:
            with torch.no_grad():
                logits = llama(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
            token = max(node.children, key=lambda token: float(logits[token]))
            ids.append(token)
            node = trie.nodes[node.children[token]]
        assert node.answer == answer


def test_chunks_of_rows_change_nothing(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = AnswerTable(build_trie(SPACES["signed"], byte_level, CUE))
    prompts = [PromptEncoder(byte_level, CUE, 100)(body).ids for body in BODIES]
    writer = Writer(llama)
    prefix = writer.prefill(*pad_prompts(prompts))
    whole = score_trie(writer, prefix, table)
    monkeypatch.setattr(score, "LOGITS_AT_ONCE", 1)
    parts = score_trie(writer, prefix, table)
    assert torch.allclose(whole.log_probs, parts.log_probs, atol=1e-5)
    assert torch.equal(whole.greedy, parts.greedy)


@pytest.mark.parametrize("normalise", ["vocabulary", "space"])
@pytest.mark.parametrize("name", ["labels", "short"])
def test_stretches_of_the_trie_change_nothing(
    name: str,
    normalise: str,
    tiny_model: PreTrainedModel,
    byte_level: PreTrainedTokenizerFast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither scores nor gradients, of the prompt's cache included; and no pass reads more nodes than it may."""
    table = AnswerTable(build_trie(SPACES[name], byte_level, CUE))
    prompts = [PromptEncoder(byte_level, CUE, 100)(body).ids for body in BODIES]
    writer = Writer(tiny_model)
    whole = trie_scores(writer, writer.prefill(*pad_prompts(prompts)), table, normalise)
    whole.log_posterior.exp().square().sum().backward()
    expected = {name: parameter.grad.clone() for name, parameter in writer.named_parameters()}
    writer.zero_grad()
    monkeypatch.setattr(score, "NODES_AT_ONCE", 1)
    honest, widest = Writer.branch, list[int]()
    monkeypatch.setattr(Writer, "branch", lambda self, *args: widest.append(len(args[1])) or honest(self, *args))
    parts = trie_scores(writer, writer.prefill(*pad_prompts(prompts)), table, normalise)
    assert len(widest) >= 2 and max(widest) <= 1 + table.depth
    assert torch.allclose(whole.log_probs, parts.log_probs, atol=1e-5)
    assert torch.equal(whole.greedy, parts.greedy)
    parts.log_posterior.exp().square().sum().backward()
    for name, parameter in writer.named_parameters():
        assert torch.allclose(parameter.grad, expected[name], atol=1e-5), name


def test_a_row_scores_the_same_alone_and_in_any_batch(
    tiny_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    table = AnswerTable(build_trie(SPACES["labels"], tokenizer, CUE))
    prompts = [PromptEncoder(tokenizer, CUE, 100)(body).ids for body in BODIES]
    writer = Writer(tiny_model)
    together = score_trie(writer, writer.prefill(*pad_prompts(prompts)), table).log_probs
    for row, prompt in enumerate(prompts):
        alone = score_trie(writer, writer.prefill(*pad_prompts([prompt])), table).log_probs[0]
        assert torch.allclose(alone, together[row], atol=1e-4)


def test_the_pad_id_is_never_seen(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    table = AnswerTable(build_trie(SPACES["labels"], byte_level, CUE))
    prompts = [PromptEncoder(byte_level, CUE, 100)(body).ids for body in BODIES]
    writer = Writer(llama)
    one, other = (
        score_trie(writer, writer.prefill(*pad_prompts(prompts, pad_id=pad)), table).log_probs for pad in (0, 77)
    )
    assert torch.equal(one, other)


@pytest.mark.model
def test_smollm2_scores_as_brute_force_does() -> None:
    from predgen.decoding.check import plain_log_prob
    from predgen.model.bases import load_base

    base = load_base("smollm2-135m")
    cue = "\nSentiment:"
    prompts = [PromptEncoder(base.tokenizer, cue, 500)(f"Tweet: {body}").ids for body in BODIES]
    writer = Writer(base.model)
    for space in (NumberGrid(-4, 4, 1), LabelSet(("positive", "negative", "very positive", "very"))):
        table = AnswerTable(build_trie(space, base.tokenizer, cue))
        scored = score_trie(writer, writer.prefill(*pad_prompts(prompts)), table)
        for answer in range(0, table.answers, max(1, table.answers // 8)):
            for row, prompt in enumerate(prompts):
                with torch.no_grad():
                    plain = plain_log_prob(writer, table, prompt, answer)
                assert scored.log_probs[row, answer].item() == pytest.approx(plain.item(), abs=1e-4)
