"""How rows are put together never changes what is said of them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.spaces import FreeNumber, LabelSet, NumberGrid, Space
from predgen.data.batches import pad_prompts
from predgen.data.prompts import PromptEncoder
from predgen.model import shared_head
from predgen.model.outputs import Scores
from predgen.scoring import score_prompts, score_rows

SPACES: dict[str, Space] = {
    "labels": LabelSet(("good", "good enough", "goods", "bad", "very bad")),
    "grid": NumberGrid(-1, 1, 1),
    "free": FreeNumber(2, 1, True),
}
METHODS = [
    *itertools.product(("generator", "predgen", "predgen, prompt too"), SPACES),
    *itertools.product(("first", "last", "mean", "attention"), ("labels",)),
]
FILM = "The film was "
BODIES = [
    FILM + rest for rest in ("bad", "very good and I liked it a lot", "x", "not good enough, 3 of 100. " * 5, "a 3!")
]


def assert_same(one: Scores, other: Scores) -> None:
    for name, first, second in zip(Scores._fields, one, other, strict=True):
        assert (first is None) == (second is None), name
        if first is not None:
            assert torch.allclose(first.double(), second.double(), atol=1e-4), name


@pytest.mark.parametrize(("name", "space"), METHODS)
def test_no_batch_changes_a_score(
    name: str,
    space: str,
    tiny_model: PreTrainedModel,
    byte_level: PreTrainedTokenizerFast,
    tiny_method: Callable[..., nn.Module],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = tiny_method(name, tiny_model, byte_level, SPACES[space])
    # In windows, so that rows have several prompts each.
    encoded = PromptEncoder(byte_level, "\nAnswer:", 24, "head" if space == "free" else "windows").rows(BODIES)
    prompts = encoded.prompts
    assert space == "free" or len(prompts) > len(BODIES)
    alone = score_prompts(method, prompts, batch_size=1)
    for batch_size, batch_tokens in ((len(prompts), 10**6), (3, 10**6), (8, 60)):
        assert_same(score_prompts(method, prompts, batch_size, batch_tokens=batch_tokens), alone)
    order = random.Random(0).sample(range(len(prompts)), len(prompts))
    shuffled = score_prompts(method, [prompts[place] for place in order], batch_size=4)
    assert_same(shuffled, Scores(*(None if column is None else column[order] for column in alone)))
    if space != "free":
        assert_same(score_rows(method, encoded, 1), score_rows(method, encoded, len(prompts)))
    monkeypatch.setattr(shared_head, "FEWEST_PROMPTS", 2)
    monkeypatch.setattr(shared_head, "FEWEST_TOKENS", 2)
    assert shared_head.head_length(prompts[:2]) >= 2
    assert_same(score_prompts(method, prompts[:2], batch_size=2), Scores(*(c if c is None else c[:2] for c in alone)))


@pytest.mark.parametrize("name", ["generator", "predgen", "predgen, prompt too", "attention"])
def test_padding_of_any_width_and_token_changes_no_score(
    name: str, tiny_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast, tiny_method: Callable[..., nn.Module]
) -> None:
    method = tiny_method(name, tiny_model, byte_level, SPACES["labels"])
    ids, mask = pad_prompts([PromptEncoder(byte_level, "\nAnswer:", 100)(body).ids for body in BODIES])
    expected = method.score(ids, mask)  # type: ignore[operator]
    for width, token in ((1, 0), (5, 77), (30, 300)):
        wider = nn.functional.pad(ids, (width, 0), value=token)
        assert_same(method.score(wider, nn.functional.pad(mask, (width, 0))), expected)  # type: ignore[operator]
