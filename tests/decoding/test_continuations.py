from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from predgen.data.batches import pad_prompts
from predgen.decoding import continuations
from predgen.decoding.continuations import ABSENT, pad_options, score_options
from predgen.model.writer import Writer

PROMPTS = [[5, 6, 7, 8], [9, 10]]
OPTIONS = [[[11, 12, 13], [14]], [[11], [15, 16], [17, 18, 19, 20]]]
END = 3


@torch.no_grad()
def by_hand(model: PreTrainedModel, prompt: list[int], option: list[int]) -> float:
    """One pass over prompt and option alone, without a cache or a batch."""
    ids = [*prompt, *option]
    logits = model(torch.tensor([ids])).logits[0].double().log_softmax(dim=-1)
    return sum(float(logits[len(prompt) - 1 + place, token]) for place, token in enumerate([*option, END]))


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("at_once", [1, 10**9])
def test_options_are_scored_as_one_pass_each_would(
    llama: PreTrainedModel, per_token: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continuations, "LOGITS_AT_ONCE", at_once)
    writer = Writer(llama.eval())
    batch = pad_prompts(PROMPTS)
    prefix = writer.prefill(batch.prompt_ids, batch.prompt_mask)
    scores = score_options(writer, prefix, pad_options(OPTIONS, 4), END, per_token)
    assert scores.log_posterior is not None and scores.greedy is not None and scores.log_mass is not None
    for row, (prompt, options) in enumerate(zip(PROMPTS, OPTIONS, strict=True)):
        whole = torch.tensor([by_hand(llama, prompt, option) for option in options])
        lengths = torch.tensor([len(option) + 1 for option in options])
        expected = (whole / lengths if per_token else whole).log_softmax(dim=0)
        found = scores.log_posterior[row]
        torch.testing.assert_close(found[: len(options)], expected, atol=1e-4, rtol=1e-4)
        assert (found[len(options) :] < ABSENT / 2).all()
        assert int(scores.greedy[row]) == int(whole.argmax())
        torch.testing.assert_close(scores.log_mass[row], whole.logsumexp(dim=0), atol=1e-4, rtol=1e-4)


def test_padding_tells_options_from_none() -> None:
    batch = pad_options(OPTIONS, 4)
    assert batch.ids.shape == (2, 4, 4)
    assert batch.mask.any(dim=2).tolist() == [[True, True, False, False], [True, True, True, False]]
    assert batch.mask.sum(dim=2).tolist() == [[3, 1, 0, 0], [1, 2, 4, 0]]
