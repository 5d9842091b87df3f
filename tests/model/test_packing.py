from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from predgen.data.batches import PromptBatch, pad_prompts
from predgen.model import packing
from predgen.model.packing import lay_out
from predgen.model.prefix import Prefix
from predgen.model.rereading import PathwiseWriter
from predgen.model.writer import Writer

LENGTHS = [23, 1, 7, 2, 12, 3, 5]  # beyond the tiny models' windows, and a prompt of one token


def prompts(lengths: list[int] = LENGTHS) -> PromptBatch:
    generator = torch.Generator().manual_seed(0)
    return pad_prompts([torch.randint(5, 100, (length,), generator=generator).tolist() for length in lengths])


def test_every_token_is_laid_once_and_found_again() -> None:
    batch = prompts()
    lines = lay_out(*batch)
    assert lines is not None
    real = batch.prompt_mask.bool()
    assert torch.equal(lines.padded(lines.ids)[real], batch.prompt_ids[real])
    laid = lines.place[real]
    assert len(laid.unique()) == len(laid) == int((lines.row >= 0).sum())
    assert torch.equal(lines.row.flatten()[laid], torch.nonzero(real)[:, 0])
    expected = torch.cat([torch.arange(length) for length in LENGTHS])
    assert torch.equal(lines.position.flatten()[laid], expected)
    assert torch.equal(lines.at_ends(lines.ids[:, -lines.last :]), batch.prompt_ids[:, -1])


def test_lines_are_few_and_about_equally_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "LINE", 20)
    lines = lay_out(*prompts([10] * 9 + [1] * 10))
    assert lines is not None
    assert lines.ids.shape[0] == 5  # 100 tokens in lines of at least 20
    filled = (lines.row >= 0).sum(dim=1)
    assert filled.max() - filled.min() <= 10


@pytest.mark.parametrize("lengths", [[9], [9, 9, 9], [10, 9, 9, 10]])
def test_what_hardly_pads_is_left_as_it_is(lengths: list[int]) -> None:
    assert lay_out(*prompts(lengths)) is None


def of_real(prefix: Prefix) -> list[Tensor]:
    """Keys and values where there are tokens: what a mask hides may differ."""
    real = prefix.mask.bool()
    return [cached.transpose(1, 2)[real] for cached in (*prefix.keys, *prefix.values)]


@pytest.mark.parametrize("line", [16, 1000])
def test_prompts_side_by_side_read_as_each_alone(
    tiny_model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch, line: int
) -> None:
    writer, batch = Writer(tiny_model), prompts()
    monkeypatch.setattr(packing, "LINE", line)
    lines = lay_out(*batch)
    assert lines is not None and (lines.ids.shape[0] > 1) == (line == 16)
    with torch.no_grad():
        packed, states = writer.prefill(*batch), writer.read(*batch)
        alone = [
            (writer.prefill(ids[None, -length:], mask[None, -length:]), writer.read(ids[None, -length:], mask[None]))
            for ids, mask, length in zip(*batch, LENGTHS, strict=True)
            for mask in (mask[-length:],)
        ]
    assert packed.ids is batch.prompt_ids and packed.mask is batch.prompt_mask
    assert torch.allclose(packed.logits, torch.cat([one.logits for one, _ in alone]), atol=1e-4)
    for column, found in enumerate(of_real(packed)):
        assert torch.allclose(found, torch.cat([of_real(one)[column] for one, _ in alone]), atol=1e-4)
    assert torch.allclose(states[batch.prompt_mask.bool()], torch.cat([read[0] for _, read in alone]), atol=1e-4)


def test_gradients_are_those_of_the_padded_batch(tiny_model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, exact = prompts(), tiny_model.config._attn_implementation != "eager"
    # Eager attention sums in float32 and has no number for padding that float64's lowest is to hide.
    writer = Writer(tiny_model.double() if exact else tiny_model)
    found = []
    for worthwhile in (packing.WORTHWHILE, 1.0):
        monkeypatch.setattr(packing, "WORTHWHILE", worthwhile)
        assert (lay_out(*batch) is None) == (worthwhile == 1.0)
        prefix = writer.prefill(*batch)
        states = writer.read(*batch)[batch.prompt_mask.bool()]
        weighted = [(value * torch.linspace(-1, 1, value.numel()).view_as(value)).sum() for value in of_real(prefix)]
        (sum(weighted) + prefix.logits.square().mean() + states.pow(3).sum()).backward()
        found.append({name: p.grad.clone() for name, p in tiny_model.named_parameters() if p.grad is not None})
        tiny_model.zero_grad()
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[1].items():
        assert (found[0][name] - gradient).norm() <= (1e-5 if exact else 1e-3) * gradient.norm() + 1e-6, name


def test_a_writer_that_rereads_lays_nothing_side_by_side(
    llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = prompts()
    with torch.no_grad():
        expected = Writer(llama).prefill(*batch).logits
        monkeypatch.setattr("predgen.model.writer.lay_out", lambda *_: pytest.fail("no line can be read"))
        assert torch.allclose(PathwiseWriter(llama).eval().prefill(*batch).logits, expected, atol=1e-4)
