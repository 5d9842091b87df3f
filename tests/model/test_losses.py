from __future__ import annotations

import math

import pytest
import torch

from predgen.errors import ConfigError
from predgen.model.losses import joint_loss, masked_mean, token_losses, wdal, wdal_released


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand((2, 200), generator=generator, dtype=torch.float64) * 8 + 1e-3
    return values[0].requires_grad_(), values[1].requires_grad_()


def test_uniform_logits_cost_the_logarithm_of_the_vocabulary() -> None:
    losses = token_losses(torch.zeros(2, 3, 10), torch.ones(2, 3, dtype=torch.long))
    assert torch.allclose(losses, torch.full((2, 3), math.log(10)))


def test_a_masked_mean_ignores_what_is_masked() -> None:
    values = torch.tensor([[1.0, 2.0, 99.0], [5.0, 5.0, 5.0]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(values, mask).tolist() == [1.5, 0.0]


def test_wdal_is_the_product_in_value_and_gradient() -> None:
    a, b = pairs()
    assert torch.allclose(wdal(a, b), a * b)
    gradient = torch.autograd.grad(wdal(a, b).sum(), [a, b])
    assert torch.allclose(gradient[0], b)
    assert torch.allclose(gradient[1], a)


def test_wdal_lets_the_writer_starve_and_the_released_form_does_not() -> None:
    a, b = torch.tensor([2.0], requires_grad=True), torch.tensor([0.0], requires_grad=True)
    assert torch.autograd.grad(wdal(a, b).sum(), a)[0].item() == pytest.approx(0.0, abs=1e-12)
    # d/da [log(1+a) + (1+a)] = 1/3 + 1
    assert torch.autograd.grad(wdal_released(a, b).sum(), a)[0].item() == pytest.approx(4 / 3)


def test_the_released_form_equals_what_the_code_writes_out() -> None:
    a, b = pairs()
    log_a, log_b = torch.log1p(a), torch.log1p(b)
    written_out = log_a + log_b + (1 + torch.maximum(a, b)).square() * torch.exp(-(log_a - log_b).abs())
    assert torch.allclose(wdal_released(a, b), written_out)


@pytest.mark.parametrize(
    ("name", "value"),
    # a = 2, b = 3: 4² … max² · min/max = 9 · ⅔; log 12 + 12
    [
        ("wdal", 6.0),
        ("wdal_released", math.log(12) + 12),
        ("product", 6.0),
        ("sum", 5.0),
        ("director_only", 3.0),
        ("writer_only", 2.0),
        ("adaptive", 5.0),
    ],
)
def test_joint_losses_by_hand(name: str, value: float) -> None:
    assert joint_loss(name)(torch.tensor([2.0]), torch.tensor([3.0])).item() == pytest.approx(value)


def test_the_adaptive_loss_learns_each_losses_scale() -> None:
    loss = joint_loss("adaptive")
    with torch.no_grad():
        loss.log_scales.copy_(torch.tensor([math.log(2.0), 0.0]))
    # 2/2 + log 2 + 3 + 0
    value = loss(torch.tensor([2.0]), torch.tensor([3.0])).sum()
    assert value.item() == pytest.approx(4 + math.log(2))
    value.backward()
    # d/ds [a e^−s + s] = 1 − 2/2, 1 − 3: at rest where the scale is the loss
    assert loss.log_scales.grad.tolist() == pytest.approx([0.0, -2.0])


@pytest.mark.parametrize("name", ["wdal", "wdal_released"])
def test_alignment_losses_lie_within_the_papers_bounds(name: str) -> None:
    """A.4 for the printed form: min² ≤ a · b ≤ max²; the released one the same of 1 + a, 1 + b, up to its logarithm."""
    a, b = pairs()
    value = joint_loss(name)(a, b)
    if name == "wdal_released":
        a, b = 1 + a, 1 + b
        value = value - (a * b).log()
    assert bool((torch.minimum(a, b).square() <= value + 1e-9).all())
    assert bool((value <= torch.maximum(a, b).square() + 1e-9).all())


def test_normalised_over_some_tokens_only_those_count() -> None:
    logits = torch.tensor([[[1.0, 2.0, 3.0, 99.0]]])
    allowed = (torch.tensor([[[1, 2, 0]]]), torch.tensor([[[True, True, False]]]))
    inside = token_losses(logits, torch.tensor([[1]]), allowed)
    assert inside.item() == pytest.approx(math.log(1 + math.e))
    # gold 0 is not allowed behind an own token: it counts beside the allowed ones
    outside = token_losses(logits, torch.tensor([[0]]), allowed)
    assert outside.item() == pytest.approx(math.log(1 + math.e + math.e**2))


def test_an_unknown_loss_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'wdal'.*sum, wdal, wdal_released"):
        joint_loss("wdall")
