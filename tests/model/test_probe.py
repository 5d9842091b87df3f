from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.spaces import NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config_reading import load_config
from predgen.data.prompts import PromptEncoder
from predgen.decoding.score import read_tree, score_trie, scores_of
from predgen.model.build import build_fields_method, build_writer
from predgen.model.predgen import PredGen
from predgen.model.probe import LAST_STRENGTHS, Gold, fit_probe, fit_probes, read_states, rows_to_fit, scores_under
from predgen.model.scale import Scale
from predgen.model.setting import Setting

CUE = "\nAnswer:"
BODIES = ["bad", "The film was very good and I liked it a lot", "a good one", "terrible film", "x"]
GRID = NumberGrid(0, 13, 0)  # "1" is an answer, and goes on to others


def method_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, scoring: str = "tree", loss: str = "sum"
) -> PredGen:
    config = load_config(assignments=["data.target=y", "task=regression", f"loss={loss}"])
    writer = build_writer(model, config, "paths" if scoring == "paths" else "tree")
    table = AnswerTable(build_trie(GRID, tokenizer, CUE))
    method = build_fields_method(writer, [table], [[]], [Setting(config, "regression", GRID, 9, Scale(6.0, 4.0))])
    assert isinstance(method, PredGen)
    return method


def prompts_of(tokenizer: PreTrainedTokenizerFast) -> list[list[int]]:
    encoder = PromptEncoder(tokenizer, CUE, 100)
    return [encoder(body).ids for body in BODIES]


def made_up(method: PredGen, rows: int, noise: float = 0.3) -> tuple[Tensor, Gold]:
    """States of which one direction says what number is asked for."""
    chance = torch.Generator().manual_seed(3)
    table = method.table
    assert isinstance(table, AnswerTable)
    states = torch.randn(rows, 1 + len(table.inner), method.writer.hidden_size, generator=chance)
    answers = torch.randint(0, len(GRID), (rows,), generator=chance)
    states[:, :, 0] = answers[:, None] / 2 + noise * torch.randn(rows, 1, generator=chance)
    return states, Gold(answers, answers.float(), torch.ones(rows))


@pytest.mark.parametrize("scoring", ["tree", "paths"])
def test_states_are_those_that_the_logits_are_made_of(
    precise_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast, scoring: str
) -> None:
    method = method_of(precise_model, byte_level, scoring)
    writer, table, prompts = method.writer, method.table, prompts_of(byte_level)
    if writer.projection is None:
        assert precise_model.config.model_type == "gemma2"
        return
    assert isinstance(table, AnswerTable)
    states = read_states(writer.train(), table, prompts, batch_size=2).double()
    assert writer.training and states.shape == (5, 1 + len(table.inner), 32)
    weight = precise_model.get_output_embeddings().weight[writer.projection.tokens]
    for row, prompt in enumerate(prompts):
        ids = torch.tensor([prompt])
        logits = read_tree(writer, writer.prefill(ids, torch.ones_like(ids)), table)
        torch.testing.assert_close(states[row] @ weight.T, logits[0][:, writer.projection.tokens], atol=1e-4, rtol=1e-4)


def test_the_trie_of_some_tokens_scores_as_the_whole(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    table = AnswerTable(build_trie(GRID, byte_level, CUE))
    logits = torch.randn(3, 1 + len(table.inner), 512)
    narrow = scores_of(logits[..., table.tokens], table.renumbered(table.tokens), "space")
    whole = scores_of(logits, table, "space")
    torch.testing.assert_close(narrow.log_probs, whole.log_probs)
    assert torch.equal(narrow.greedy, whole.greedy) and int(table.node_token.max()) > len(table.tokens)


def test_what_is_fitted_is_the_best_there_is(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    """Gradients of the penalised loss, restated over the whole vocabulary, vanish; those of no probe do not."""
    method = method_of(llama, byte_level)
    writer, table = method.writer, method.table
    states, gold = made_up(method, 60)
    probe = fit_probe(writer, table, states, gold, method.posterior_loss, seed=0)
    assert probe is not None and probe.loss < probe.base_loss - 0.3 and isinstance(table, AnswerTable)
    unit, tokens = states.square().mean().sqrt(), writer.projection.tokens
    output = llama.get_output_embeddings().weight

    def penalised(change: Tensor) -> Tensor:
        logits = states @ (output + torch.zeros_like(output).index_add(0, tokens, change)).T
        posterior = scores_of(logits, table, "space").log_posterior
        answer = posterior[torch.arange(60), gold.answer_index]
        lengths = torch.tensor([len(byte_level(f" {number}")["input_ids"]) + 1 for number in gold.answer_index])
        expected = (posterior.exp() * torch.arange(14.0)).sum(dim=1)
        loss = -answer / lengths + ((expected - gold.target) / 4.0) ** 2
        return loss.mean() + probe.strength * (change * unit).square().sum()

    found = []
    for start in (probe.weight, torch.zeros_like(probe.weight)):
        change = start.clone().requires_grad_()
        penalised(change).backward()
        found.append(change.grad.norm().item())
    assert found[0] < 0.01 * found[1]


def test_last_ones_hold_down_the_weights_themselves(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    """Gradients of the loss with its penalty, restated over the whole vocabulary, vanish at each of them."""
    method = method_of(llama, byte_level)
    table, tokens = method.table, method.writer.projection.tokens
    states, gold = made_up(method, 60)
    output, unit = llama.get_output_embeddings().weight.detach(), states.square().mean().sqrt()

    def loss(log_posterior: Tensor, answer_index: Tensor, target: Tensor) -> Tensor:
        return -log_posterior[torch.arange(60), answer_index]

    def gradient(weight: Tensor, strength: float) -> Tensor:
        weight = weight.clone().requires_grad_()
        logits = states @ output.index_copy(0, tokens, weight).T
        posterior = scores_of(logits, table, "space").log_posterior
        total = loss(posterior, gold.answer_index, gold.target).mean() + strength * (weight * unit).square().sum()
        return torch.autograd.grad(total, weight)[0].norm()

    probes = fit_probes(method.writer, table, states, gold, loss)
    assert len(probes) == len(LAST_STRENGTHS) > 1
    for probe, strength in zip(probes, LAST_STRENGTHS, strict=True):
        base = output[tokens]
        assert gradient(base + probe, strength) < 0.02 * gradient(base, strength)
    sizes = [(output[tokens] + probe).norm() for probe in probes]
    assert sizes == sorted(sizes), "the less they are held down, the larger"


def test_scores_under_a_probe_are_those_of_a_writer_that_has_it(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    method = method_of(llama, byte_level)
    writer, table, prompts = method.writer, method.table, prompts_of(byte_level)
    probe = torch.randn(len(writer.projection.tokens), 32)
    under = scores_under(writer, table, read_states(writer.eval(), table, prompts, batch_size=2), probe)
    writer.projection.probe = probe
    for row, prompt in enumerate(prompts):
        ids = torch.tensor([prompt])
        scores = score_trie(writer, writer.prefill(ids, torch.ones_like(ids)), table, "space")
        torch.testing.assert_close(under.log_posterior[row], scores.log_posterior[0], atol=1e-4, rtol=1e-4)
        assert under.greedy[row] == scores.greedy[0]


def test_nothing_but_the_probe_is_fitted(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    """Neither the model nor what an adaptive loss learns has a gradient afterwards."""
    method = method_of(llama, byte_level, loss="adaptive")
    states, gold = made_up(method, 40)
    assert any("log_scales" in name for name, _ in method.named_parameters())
    assert fit_probe(method.writer, method.table, states, gold, method.posterior_loss, seed=0) is not None
    assert all(parameter.grad is None for parameter in method.parameters())


def test_what_the_states_do_not_say_is_not_fitted(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    method = method_of(llama, byte_level)
    states, gold = made_up(method, 40)

    def indifferent(log_posterior: Tensor, answer_index: Tensor, target: Tensor) -> Tensor:
        return 0 * log_posterior.sum(dim=1) + 1

    assert fit_probe(method.writer, method.table, states, gold, indifferent, seed=0) is None


def test_a_probe_is_a_change_of_the_output_weights(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    method, plain = method_of(llama, byte_level), method_of(llama, byte_level)
    tokens = method.writer.projection.tokens
    method.writer.projection.probe = torch.randn(len(tokens), 32)
    ids = torch.tensor(prompts_of(byte_level)[1:2])
    prefix, mask = method.writer.prefill(ids, torch.ones_like(ids)), torch.ones_like(ids)
    scores = score_trie(method.writer, prefix, method.table, "space")
    before = score_trie(plain.writer, plain.writer.prefill(ids, mask), plain.table, "space")
    with method.writer.over_vocabulary():
        whole = method.writer.prefill(ids, mask).logits
    method.writer.projection.merge_probe(llama)
    merged = method_of(llama, byte_level)
    after = score_trie(merged.writer, merged.writer.prefill(ids, mask), merged.table, "space")
    torch.testing.assert_close(scores, after)
    torch.testing.assert_close(whole, llama(input_ids=ids).logits[:, -1])
    assert (scores.log_probs - before.log_probs).abs().max() > 0.1
    assert llama.get_output_embeddings().weight is not llama.get_input_embeddings().weight


def test_gradients_flow_through_it_and_not_into_it(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    method = method_of(llama, byte_level)
    method.writer.projection.probe = torch.randn(len(method.writer.projection.tokens), 32)
    assert not any("probe" in name for name, _ in method.named_parameters())
    assert not any("probe" in name for name in method.state_dict())
    ids = torch.tensor(prompts_of(byte_level)[:1])
    method.writer.prefill(ids, torch.ones_like(ids)).logits[:, method.writer.projection.tokens].sum().backward()
    norm: nn.Parameter = llama.model.norm.weight
    assert norm.grad is not None and norm.grad.abs().sum() > 0


def test_few_of_many_rows_are_enough() -> None:
    assert rows_to_fit(30, 1000, seed=0) == list(range(30))
    assert len(rows_to_fit(5000, 1000, seed=0)) == 1000
    few = rows_to_fit(5000, 2**20, seed=0)
    assert len(few) == 64 and few == sorted(few) and few != rows_to_fit(5000, 2**20, seed=1)
