from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.decoding.score import score_trie
from predgen.model.history import gold_history
from predgen.model.writer_loss import WriterLoss

from .tiny_predgen import batch, build


def test_over_prompt_and_answer_as_the_released_code_averages(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    """The language model's own loss over the whole row, every real token but the first a target."""
    method = build(llama.double(), byte_level, writer_loss=WriterLoss(reads_prompt=True))
    inputs = batch(byte_level)
    losses = method(**inputs, step=0).writer_loss
    for row in range(4):
        prompt = inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()]
        answer = int(inputs["answer_index"][row])
        ids = torch.cat([prompt, method.table.targets[answer][method.table.target_mask[answer]]])
        logits = method.writer.lm(input_ids=ids[None, :-1], use_cache=False).logits[0]
        assert losses[row].item() == pytest.approx(torch.nn.functional.cross_entropy(logits, ids[1:]).item())


def test_normalised_over_the_space_the_loss_is_the_posteriors(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    """Teacher forcing's loss is then −log p(answer) / its targets, where the p of all answers sum to 1."""
    method = build(llama.double(), byte_level, "numbers", writer_loss=WriterLoss(normalise="space"))
    inputs = batch(byte_level)
    losses = method(**inputs, step=0).writer_loss
    prefix = method.writer.prefill(inputs["prompt_ids"], inputs["prompt_mask"])
    scored = score_trie(method.writer, prefix, method.table, "space")
    assert torch.allclose(scored.log_probs.exp().sum(dim=1), torch.ones(4, dtype=torch.float64))
    gold = gold_history(method.table, inputs["answer_index"])
    expected = -scored.log_probs.gather(1, inputs["answer_index"][:, None])[:, 0] / gold.target_mask.sum(dim=1)
    assert torch.allclose(losses, expected)  # the terminator is the only child of a number's leaf: it costs nothing
