from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from predgen.data.prompts import EncodedRows
from predgen.errors import PredgenWarning
from predgen.memory import out_of_memory
from predgen.model.outputs import Scores
from predgen.scoring import score_prompts, score_rows


class Echo(nn.Module):
    """Scores a prompt by its first token alone."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))

    def score(self, prompt_ids: Tensor, prompt_mask: Tensor) -> Scores:
        first = prompt_ids.gather(1, prompt_mask.argmax(dim=1, keepdim=True))[:, 0]
        share = first.double() / 10
        posterior = torch.stack([share, 1 - share], dim=1).log()
        return Scores(posterior, share.log(), (share < 0.5).long(), None, share, None, None, None, None)

    def answers(self, prompt_ids: Tensor, prompt_mask: Tensor) -> tuple[Scores, ...]:
        return (self.score(prompt_ids, prompt_mask),)


def test_the_distributions_of_a_texts_windows_are_averaged() -> None:
    encoded = EncodedRows([[2], [3, 1, 1], [9], [7, 1], [4]], rows=[0, 1, 1, 2, 2], cut=[0, 0, 0])
    scores = score_rows(Echo(), encoded, batch_size=2)
    assert scores.log_posterior.exp()[:, 0].tolist() == pytest.approx([0.2, 0.6, 0.55])
    assert scores.value.tolist() == pytest.approx([0.2, 0.6, 0.55])
    assert scores.log_mass.exp().tolist() == pytest.approx([0.2, 0.6, 0.55])
    assert scores.greedy.tolist() == [1, 0, 0]


def test_rows_of_one_prompt_are_scored_as_they_are() -> None:
    encoded = EncodedRows([[2], [3, 1, 1]], rows=[0, 1], cut=[0, 0])
    assert score_rows(Echo(), encoded, batch_size=1).log_posterior.exp()[:, 0].tolist() == pytest.approx([0.2, 0.3])


class Narrow(Echo):
    """Memory for so many tokens a pass."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.passes: list[tuple[int, ...]] = []

    def score(self, prompt_ids: Tensor, prompt_mask: Tensor) -> Scores:
        if prompt_ids.numel() > self.most:
            raise torch.OutOfMemoryError("out of memory")
        self.passes.append(tuple(prompt_ids.shape))
        return super().score(prompt_ids, prompt_mask)


PROMPTS = [[2, 1, 1, 1], [3], [4, 1], [5, 1, 1], [6], [7, 1, 1, 1], [8, 1]]


def test_passes_keep_to_rows_and_tokens() -> None:
    method = Narrow(99)
    score_prompts(method, PROMPTS, batch_size=3, batch_tokens=6)
    assert method.passes == [(3, 2), (2, 3), (1, 4), (1, 4)]
    method = Narrow(99)
    score_prompts(method, PROMPTS, batch_size=3, batch_tokens=1)  # a prompt that is longer goes alone
    assert all(rows == 1 for rows, _ in method.passes) and len(method.passes) == 7


def test_where_memory_runs_out_passes_are_halved_and_nothing_else_changes() -> None:
    done: list[int] = []
    whole = score_prompts(Echo(), PROMPTS, batch_size=7)
    with pytest.warns(PredgenWarning, match=r"over \d rows of \d tokens at once: half as many"):
        halved = score_prompts(Narrow(7), PROMPTS, batch_size=7, progress=done.append)
    assert torch.equal(whole.log_posterior, halved.log_posterior)
    assert sum(done) == 7
    with pytest.warns(PredgenWarning), pytest.raises(torch.OutOfMemoryError):
        score_prompts(Narrow(3), PROMPTS, batch_size=7)


def test_other_errors_are_not_taken_for_it() -> None:
    assert out_of_memory(MemoryError())
    assert out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."))
    assert not out_of_memory(RuntimeError("shapes cannot be multiplied"))
