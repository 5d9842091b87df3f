"""Losses: pure functions of tensors that return one value a row."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from predgen.decoding.score import widen
from predgen.errors import ConfigError, nearest

JointLoss = Callable[[Tensor, Tensor], Tensor]


def token_losses(logits: Tensor, targets: Tensor, allowed: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Cross-entropy of each answer token, −log p(y_t | x, ỹ_<t) (section 4).

    Args:
        logits: (B, T, V); column t predicts token t, so they are already shifted.
        targets: (B, T) gold tokens.
        allowed: To normalise over some tokens only: their ids (B, T, C), and which of them count (B, T, C) bool. Gold's
            token counts besides: behind an own token it may be none of them.

    Returns:
        (B, T), in nats.
    """
    wide = widen(logits)
    if allowed is not None:
        names, ways = allowed
        gold = wide.gather(2, targets[:, :, None])
        others = wide.gather(2, names).masked_fill(~ways | (names == targets[:, :, None]), -torch.inf)
        return torch.logsumexp(torch.cat([gold, others], dim=2), dim=2) - gold[:, :, 0]
    return functional.cross_entropy(wide.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the last dimension of what the mask keeps; 0 where it keeps nothing.

    Args:
        values: (B, T).
        mask: (B, T) bool, or weights.
    """
    weights = mask.to(values.dtype)
    return (values * weights).sum(dim=-1) / weights.sum(dim=-1).clamp_min(torch.finfo(values.dtype).tiny)


def wdal(writer: Tensor, director: Tensor) -> Tensor:
    """The writer-director alignment loss as the paper prints it (section 4, appendix A).

    max(a, b)² · exp(−|log a − log b|). In exact arithmetic this is max² · min/max = a · b, the plain product: the
    writer's gradient is multiplied by the director's loss and dies with it. `wdal_released` does not have that.

    Args:
        writer: (B,) non-negative losses a.
        director: (B,) non-negative losses b.

    Returns:
        (B,).
    """
    tiny = torch.finfo(writer.dtype).tiny
    gap = (writer.clamp_min(tiny).log() - director.clamp_min(tiny).log()).abs()
    return torch.maximum(writer, director).square() * torch.exp(-gap)


def wdal_released(writer: Tensor, director: Tensor) -> Tensor:
    """The alignment loss as the authors' released code computes it.

    With A = log(1 + a), B = log(1 + b): A + B + (1 + max(a, b))² · exp(−|A − B|), which is
    log((1 + a)(1 + b)) + (1 + a)(1 + b), the form computed here (no kink, no overflow of the exponential). Each loss
    keeps its gradient when the other goes to 0. The release applies it to micro-batch means; here it is per row, so
    that gradient accumulation changes nothing.

    Args:
        writer: (B,) non-negative losses a.
        director: (B,) non-negative losses b.

    Returns:
        (B,).
    """
    product = (1 + writer) * (1 + director)
    return product.log() + product


def summed(writer: Tensor, director: Tensor) -> Tensor:
    """A + b, the plainest way to join two losses.

    Args:
        writer: (B,).
        director: (B,).
    """
    return writer + director


def product(writer: Tensor, director: Tensor) -> Tensor:
    """A · b (Fig. 6); what `wdal` is in exact arithmetic, without its kinks.

    Args:
        writer: (B,).
        director: (B,).
    """
    return writer * director


def director_only(writer: Tensor, director: Tensor) -> Tensor:
    """B alone: the writer learns only what the director's gradient tells it (Fig. 6).

    Args:
        writer: (B,).
        director: (B,).
    """
    return director


def writer_only(writer: Tensor, director: Tensor) -> Tensor:
    """A alone; no director is built, so that no parameter goes without a gradient.

    Args:
        writer: (B,).
        director: (B,).
    """
    return writer


class Adaptive(nn.Module):
    """exp(−s) · a + s + exp(−t) · b + t with learned s and t, the logarithms of the losses' scales.

    The paper compares with an "adaptive" loss (Fig. 6) and does not define it; this is the learned uncertainty
    weighting of Kendall et al. (2018). It may become negative, as a log-likelihood may.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scales = nn.Parameter(torch.zeros(2))

    def forward(self, writer: Tensor, director: Tensor) -> Tensor:
        """(B,), (B,) → (B,)."""
        scale = torch.exp(-self.log_scales)
        return scale[0] * writer + scale[1] * director + self.log_scales.sum()


def _same(loss: JointLoss) -> Callable[[], JointLoss]:
    return lambda: loss


JOINT_LOSSES: dict[str, Callable[[], JointLoss]] = {
    "wdal": _same(wdal),
    "wdal_released": _same(wdal_released),
    "product": _same(product),
    "sum": _same(summed),
    "adaptive": Adaptive,
    "director_only": _same(director_only),
    "writer_only": _same(writer_only),
}


def joint_loss(name: str) -> JointLoss:
    """Makes the joint loss of that name; some have parameters that learn.

    Raises:
        ConfigError: If there is none of that name; the message lists them.
    """
    if name not in JOINT_LOSSES:
        raise ConfigError(f"Unknown loss {name!r}:", nearest(name, JOINT_LOSSES))
    return JOINT_LOSSES[name]()
