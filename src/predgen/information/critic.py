"""Variational lower bounds on mutual information by a statistics network T(a, y): MINE, NWJ, InfoNCE.

    MINE     E_joint[T] − log E_product[e^T]                 (Donsker & Varadhan; Belghazi et al. 2018)
    NWJ      1 + E_joint[T] − E_product[e^T]                 (Nguyen, Wainwright & Jordan 2010), T shifted by one
    InfoNCE  E[T(a, y) − log mean_j e^T(a, y_j)]             (van den Oord et al. 2018), at most log of the batch

T starts at zero, where all three say 0. Its checkpoint is chosen on validation rows, and the bound is read off rows
that it has not seen at all, so that a network that has learned its rows by heart shows no information.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Bound = Literal["mine", "nwj", "infonce"]
Floats = NDArray[np.float64]

_LOOK_EVERY = 25  # steps from one validation to the next
_PATIENCE = 12  # validations without a better bound after which a fit ends
_AVERAGE = 0.01  # what a batch counts in the moving average of E[e^T]
_PARTNERS = 512  # most targets that a held-out row is paired with
_FEW_PARTNERS = 128  # and a validation row, which is looked at often


class CriticSettings(NamedTuple):
    """How T is fitted."""

    hidden: int = 64  # width of its one hidden layer
    batch: int = 128  # rows a step; all pairs within them are seen
    steps: int = 1000  # at most
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    validation: float = 0.2  # share of the fitting rows that choose the checkpoint


class Bounded(NamedTuple):
    """What a fitted T says of n held-out rows."""

    joint: Floats  # (n,) T of each row with its own target; for InfoNCE the row's whole term
    product: Floats  # (n,) log mean of e^T of each row with other rows' targets; for InfoNCE zeros


class Critic(nn.Module):
    """Two layers: w · relu(A a + B y + b) + c.

    Args:
        inputs: Width of a.
        classes: Of y; 0 where it is numbers.
        numbers: Width of y, where it is numbers.
        hidden: Width of the hidden layer.
    """

    def __init__(self, inputs: int, classes: int, numbers: int, hidden: int) -> None:
        super().__init__()
        self.of_a = nn.Linear(inputs, hidden)
        self.of_y: nn.Module = nn.Embedding(classes, hidden) if classes else nn.Linear(numbers, hidden, bias=False)
        self.discrete, self.count = classes > 0, classes
        self.output = nn.Linear(hidden, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, a: Tensor, y: Tensor) -> Tensor:
        """(n, inputs) and (m,) codes or (m, numbers) → (n, m), T of every pair."""
        left = self.of_a(a)[:, None]
        if not self.discrete:
            paired: Tensor = self.output(torch.relu(left + self.of_y(y)[None]))[..., 0]
            return paired
        # Few classes, many rows: each class once.
        all_classes = self.of_y(torch.arange(self.count))
        of_classes: Tensor = self.output(torch.relu(left + all_classes[None]))[..., 0]
        return of_classes[:, y]


def fit_critic(a: Tensor, y: Tensor, classes: int, bound: Bound, settings: CriticSettings, seed: int) -> Critic:
    """Maximises a bound over T.

    Args:
        a: (n, d) float32, standardised.
        y: (n,) class codes, or (n, q) numbers.
        classes: 0 for numbers.
        bound: Which.
        settings: Of the fit.
        seed: Of initialisation, batches and the validation rows.

    Returns:
        T at its best step on the validation rows; T = 0 where none was better than that.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        critic = Critic(a.shape[1], classes, 0 if classes else y.shape[1], settings.hidden)
    order = torch.randperm(len(a), generator=generator)
    held = max(2, round(settings.validation * len(a)))
    validation, training = order[:held], order[held:]
    batch = min(settings.batch, len(training))
    optimizer = torch.optim.AdamW(critic.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    best, best_state, waited = 0.0, _copy(critic), 0
    average: Tensor | None = None
    queue = torch.empty(0, dtype=torch.long)
    for step in range(1, settings.steps + 1):
        if len(queue) < batch:
            queue = torch.randperm(len(training), generator=generator)
        rows, queue = training[queue[:batch]], queue[batch:]
        scores = critic(a[rows], y[rows])
        loss, average = _loss(scores, bound, average)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % _LOOK_EVERY == 0:
            said = read_bound(critic, a[validation], y[validation], bound, settings.batch, seed, _FEW_PARTNERS)
            value = float(bound_value(bound, *said))
            waited += 1
            if value > best:
                best, best_state, waited = value, _copy(critic), 0
            if waited >= _PATIENCE:
                break
    critic.load_state_dict(best_state)
    return critic


@torch.no_grad()
def read_bound(
    critic: Critic, a: Tensor, y: Tensor, bound: Bound, batch: int, seed: int, most_partners: int = _PARTNERS
) -> Bounded:
    """What T says of rows, row by row.

    Args:
        critic: Fitted on other rows.
        a: (n, d).
        y: (n,) or (n, q).
        bound: Which.
        batch: Rows of one InfoNCE block.
        seed: Draws the partners.
        most_partners: Targets that each row is paired with.
    """
    rows = len(a)
    generator = torch.Generator().manual_seed(seed)
    if bound == "infonce":
        terms = torch.zeros(rows)
        blocks = torch.split(torch.randperm(rows, generator=generator), batch)
        if len(blocks) > 1 and len(blocks[-1]) < batch:  # a short last block would have a lower ceiling
            blocks = (*blocks[:-2], torch.cat(blocks[-2:]))
        for block in blocks:
            scores = critic(a[block], y[block])
            terms[block] = scores.diagonal() - scores.logsumexp(dim=1) + math.log(len(block))
        return Bounded(terms.double().numpy(), np.zeros(rows))
    joint, product = torch.zeros(rows), torch.zeros(rows)
    partners = torch.randperm(rows, generator=generator)[:most_partners]
    for part in torch.split(torch.arange(rows), 512):
        scores = critic(a[part], y[partners])
        # A row is no partner of its own.
        others = scores.masked_fill(part[:, None] == partners[None], -torch.inf)
        count = (part[:, None] != partners[None]).sum(dim=1)
        product[part] = others.logsumexp(dim=1) - count.log()
    for part in torch.split(torch.arange(rows), 64):
        joint[part] = critic(a[part], y[part]).diagonal()
    return Bounded(joint.double().numpy(), product.double().numpy())


def bound_value(bound: Bound, joint: Floats, product: Floats) -> Floats:
    """The bound in nats, over the last axis.

    Args:
        bound: Which.
        joint: (…, n) as `Bounded` has it.
        product: (…, n).
    """
    if bound == "infonce":
        return np.asarray(joint.mean(axis=-1))
    log_mean = np.logaddexp.reduce(product, axis=-1) - np.log(product.shape[-1])
    if bound == "mine":
        return np.asarray(joint.mean(axis=-1) - log_mean)
    return np.asarray(1.0 + joint.mean(axis=-1) - np.exp(np.minimum(log_mean, 50.0)))


def _loss(scores: Tensor, bound: Bound, average: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """What is minimised, and the moving average of E[e^T] behind it (its logarithm)."""
    joint, rows = scores.diagonal(), scores.shape[0]
    if bound == "infonce":
        return -(joint - scores.logsumexp(dim=1) + math.log(rows)).mean(), None
    others = scores.masked_fill(torch.eye(rows, dtype=torch.bool), -torch.inf)
    log_mean = others.flatten().logsumexp(dim=0) - math.log(rows * (rows - 1))
    if bound == "nwj":
        return -(joint.mean() - log_mean.clamp_max(20.0).exp()), None
    # The gradient of log E[e^T] is E[∇T e^T] / E[e^T]; one batch's own mean below would bias it (Belghazi et al. 2018).
    now = log_mean.detach()
    before = now if average is None else average
    average = torch.logaddexp(before + math.log(1 - _AVERAGE), now + math.log(_AVERAGE))
    return -(joint.mean() - (log_mean - average).clamp_max(20.0).exp()), average


def _copy(critic: Critic) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in critic.state_dict().items()}
