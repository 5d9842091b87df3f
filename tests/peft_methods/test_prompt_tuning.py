"""Virtual tokens behind caches, in padded batches and in trees, against plain peft on one row at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from predgen.config import PeftConfig
from predgen.model.rereading import PathwiseWriter, RereadingWriter
from predgen.model.writer import Writer
from predgen.peft_methods import METHODS

from .conftest import stirred

ROWS = [[5, 6, 7, 8, 9, 10, 11], [12, 13, 14]]
PROMPTS = torch.tensor([ROWS[0], [0, 0, 0, 0, *ROWS[1]]])
MASK = torch.tensor([[1] * 7, [0] * 4 + [1] * 3])
CONFIG = PeftConfig(prompt_tuning={"tokens": 3})


def plain(lm: torch.nn.Module, ids: list[int]) -> Tensor:
    """What peft says behind each token of one row."""
    with torch.no_grad():
        return lm.adapted.eval()(input_ids=torch.tensor([ids])).logits[0, 3:]


@pytest.mark.parametrize("kind", [Writer, RereadingWriter, PathwiseWriter])
def test_every_pass_is_pefts_own_on_each_row_alone(kind: type[Writer], tiny_model: PreTrainedModel) -> None:
    lm = stirred(METHODS["prompt-tuning"], tiny_model, CONFIG)
    writer = kind(lm).eval()
    with torch.no_grad():
        prefix = writer.prefill(PROMPTS, MASK)
        written = writer.extend(prefix, torch.tensor([[20, 21], [22, 23]]), torch.ones(2, 2, dtype=torch.long))
        # 20 and then 21, or 20 and then 22, or 23 alone.
        sees = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
        tree = writer.branch(prefix, torch.tensor([20, 21, 22, 23]), torch.tensor([1, 2, 2, 1]), sees)
        states, layers = writer.read(PROMPTS, MASK), writer.read_layers(PROMPTS, MASK)
    real = MASK.bool()
    assert torch.allclose(layers[-1][real], states[real], atol=1e-4)
    assert states.shape[:2] == PROMPTS.shape
    for row, (ids, answer) in enumerate(zip(ROWS, ([20, 21], [22, 23]), strict=True)):
        alone = plain(lm, ids + answer)
        assert torch.allclose(prefix.logits[row], alone[-3], atol=1e-4)
        assert torch.allclose(written.logits[row], alone[-3:], atol=1e-4)
        for node, path in enumerate(([20], [20, 21], [20, 22], [23])):
            assert torch.allclose(tree[row, 1 + node], plain(lm, ids + path)[-1], atol=1e-4)
        with torch.no_grad():
            single = writer.read(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long))
        assert torch.allclose(states[row, -len(ids) :], single[0], atol=1e-4)


def test_what_is_read_anew_while_learning_is_the_same(llama: PreTrainedModel) -> None:
    lm = stirred(METHODS["prompt-tuning"], llama, CONFIG)
    losses, gradients = [], []
    for writer in (Writer(lm).train(), RereadingWriter(lm).train()):
        lm.zero_grad()
        answer = torch.tensor([[20, 21], [22, 23]])
        loss = writer.extend(writer.prefill(PROMPTS, MASK), answer, torch.ones_like(answer)).logits.square().mean()
        loss.backward()
        losses.append(loss.item())
        gradients.append(next(p.grad.clone() for p in lm.parameters() if p.requires_grad))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_a_history_is_written_behind_the_same_virtual_tokens(llama: PreTrainedModel) -> None:
    writer = RereadingWriter(stirred(METHODS["prompt-tuning"], llama, CONFIG)).train()
    unread = writer.prefill(PROMPTS, MASK)
    writer.eval()
    assert torch.equal(writer.to_sample_from(unread).mask, unread.mask)
    assert torch.allclose(writer.to_sample_from(unread).logits, writer.prefill(PROMPTS, MASK).logits)
