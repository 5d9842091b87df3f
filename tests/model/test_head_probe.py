from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from predgen.config import Task
from predgen.model.head_probe import HEAD_STRENGTHS, fit_heads

ROWS, WIDTH = 40, 6


def made_up(task: Task, classes: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    chance = torch.Generator().manual_seed(5)
    features = torch.randn(ROWS, WIDTH, generator=chance)
    noisy = features[:, 0] + 0.5 * torch.randn(ROWS, generator=chance)
    target = noisy + 0.3 if task == "regression" else torch.bucketize(noisy, torch.linspace(-1, 1, classes - 1))
    return features, target, 0.5 + torch.rand(ROWS, generator=chance)


def losses(head: Tensor, features: Tensor, target: Tensor, task: Task) -> Tensor:
    output = functional.linear(features, head[:, :-1], head[:, -1])
    if task == "regression":
        return (output[:, 0] - target).square()
    return functional.cross_entropy(output, target, reduction="none")


@pytest.mark.parametrize(("task", "classes"), [("regression", 1), ("classification", 2), ("classification", 3)])
def test_each_is_the_best_of_its_strength(task: Task, classes: int) -> None:
    """The gradient of the mean loss with its penalty, restated, vanishes; the bias is not held down."""
    features, target, weight = made_up(task, classes)
    heads = fit_heads(features, target, weight, task, classes)
    assert len(heads) == len(HEAD_STRENGTHS) > 1
    for head, strength in zip(heads, HEAD_STRENGTHS, strict=True):
        norms = []
        for point in (head, torch.zeros_like(head)):
            asked = point.clone().requires_grad_()
            penalty = asked[:, :-1].square().sum() * (2 if classes == 2 else 1)  # one row's weights stand for two
            total = (weight * losses(asked, features, target, task)).mean() + strength * penalty
            norms.append(torch.autograd.grad(total, asked)[0].norm())
        assert norms[0] < 0.003 * norms[1]
    sizes = [head[:, :-1].norm() for head in heads]
    assert sizes == sorted(sizes)


def test_a_row_that_counts_twice_is_two_rows() -> None:
    features, target, _ = made_up("classification")
    weight = torch.ones(ROWS)
    weight[:10] = 2
    twice = [torch.cat([each, each[:10]]) for each in (features, target, torch.ones(ROWS))]
    one = fit_heads(features, target, weight * ROWS / weight.sum(), "classification", 3)
    # A penalty beside the mean loss of 50 rows, and of 40 whose weights are 1 on average.
    other = fit_heads(*twice, "classification", 3)
    for ours, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=2e-3)


def test_a_class_that_no_row_has_is_never_chosen() -> None:
    features, target, weight = made_up("classification")
    for head in fit_heads(features, torch.where(target == 2, 3, target), weight, "classification", 5):
        chosen = functional.linear(100 * torch.rand(50, WIDTH) - 50, head[:, :-1], head[:, -1]).softmax(dim=1)
        assert head.shape == (5, WIDTH + 1)
        assert not torch.isin(chosen.argmax(dim=1), torch.tensor([2, 4])).any()


def test_of_one_class_alone_there_is_nothing_to_fit() -> None:
    """The rows that were drawn of many may have no other; training is over by then, and must not be lost."""
    features, _, weight = made_up("classification")
    heads = fit_heads(features, torch.full((ROWS,), 1), weight, "classification", 3)
    assert len(heads) == len(HEAD_STRENGTHS)
    for head in heads:
        assert functional.linear(features, head[:, :-1], head[:, -1]).argmax(dim=1).unique().tolist() == [1]
