from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from predgen.data.prompts import EncodedRows
from predgen.model.outputs import Scores
from predgen.prediction import score_rows


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
