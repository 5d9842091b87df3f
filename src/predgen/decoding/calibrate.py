"""How far scores can be trusted, learned from held-out rows and applied to every score from then on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from predgen.answers.spaces import Grid, LabelSet, Space
from predgen.decoding.decide import number_distribution
from predgen.decoding.support import Support
from predgen.errors import AnswerError
from predgen.metrics import crps
from predgen.model.outputs import Scores

Floats = NDArray[np.float64]
FEWEST_ROWS = 50  # below that a temperature says more of chance than of the model
_SHARES = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class Calibration:
    """What is done to scores; as it stands, nothing.

    Args:
        rows: On how many held-out rows it was fitted; 0 where it was not.
        posterior: The temperature that the writer's log-probabilities are divided by (Guo et al. 2017).
        reader: The temperature of a director's or head's class logits.
        mix: How writer and director are joined. Classes: what the writer's log-probabilities and the director's logits
            are multiplied with, before they are added. Numbers: the shares of the posterior's mean and of the
            director's value. None where there are not both.
    """

    rows: int = 0
    posterior: float = 1.0
    reader: float = 1.0
    mix: tuple[float, float] | None = None

    def apply(self, scores: Scores, space: Space) -> Scores:
        """The scores as they are to be read; what decides token by token (`greedy`) stays as it is."""
        if not self.rows:
            return scores
        posterior, logits, value = scores.log_posterior, scores.class_logits, scores.value
        mixed_logits, mixed_value = None, None
        if self.mix is not None and posterior is not None:
            one, other = self.mix
            if logits is not None:
                mixed_logits = one * posterior + other * logits
        tempered = scores._replace(
            log_posterior=None if posterior is None else (posterior / self.posterior).log_softmax(dim=1),
            support=None if scores.support is None else scores.support.tempered(self.posterior),
        )
        if self.mix is not None and value is not None and isinstance(space, Grid):
            one, other = self.mix
            mixed_value = torch.from_numpy(one * _means(tempered, space) + other * _read(scores, space))
        return tempered._replace(
            class_logits=None if logits is None else logits / self.reader,
            mixed_logits=mixed_logits,
            mixed_value=mixed_value,
        )


def fit_calibration(scores: Scores, space: Space, truth: Sequence[str] | Sequence[float], metric: str) -> Calibration:
    """Fits temperatures and the mixture.

    Temperatures and the mixture of classes minimise the log loss; the mixture of numbers the absolute error where the
    run is selected by it, the squared error elsewhere. The temperature of numbers that were searched for minimises
    their CRPS, since a target may be none of those found.

    Args:
        scores: Of N held-out rows, as the method gave them.
        space: The answers.
        truth: N targets; those outside a grid are left out.
        metric: What selects the run.
    """
    gold = np.array([_index(space, target) for target in truth])
    inside = gold >= 0
    posterior = _array(scores.log_posterior)
    logits = _array(scores.class_logits)
    by_writer = _temperature(posterior[inside], gold[inside]) if posterior is not None else 1.0
    if scores.support is not None:
        by_writer = _temperature_of_support(scores.support, np.array([float(target) for target in truth]))
    by_reader = _temperature(logits[inside], gold[inside]) if logits is not None else 1.0
    mix = None
    if posterior is not None and logits is not None:
        mix = _mix_classes(posterior[inside], logits[inside], gold[inside], 1.0 / by_writer)
    elif (posterior is not None or scores.support is not None) and scores.value is not None and isinstance(space, Grid):
        mean = _means(Calibration(len(truth), by_writer).apply(scores, space), space)
        wanted = np.array([float(target) for target in truth])
        mix = _mix_numbers(mean, _read(scores, space), wanted, absolute=metric == "mae")
    return Calibration(len(truth), by_writer, by_reader, mix)


def _means(scores: Scores, space: Grid) -> Floats:
    distribution = number_distribution(scores, space)
    assert distribution is not None
    return distribution.mean


def _read(scores: Scores, space: Grid) -> Floats:
    """The director's values as its own decision has them, brought into the space."""
    assert scores.value is not None
    return space.admit(scores.value.double().cpu().numpy())


def _temperature_of_support(support: Support, truth: Floats) -> float:
    values = support.values.cpu().numpy()
    found = minimize_scalar(
        lambda log: crps(truth.tolist(), support.tempered(float(np.exp(log))).log_probs.exp().cpu().numpy(), values),
        bounds=(-np.log(20), np.log(20)),
        method="bounded",
    )
    return float(np.exp(found.x))


def _index(space: Space, target: str | float) -> int:
    if not isinstance(space, LabelSet | Grid):
        return -1
    try:
        return space.index(target)
    except AnswerError:
        return -1


def _array(logs: torch.Tensor | None) -> Floats | None:
    return None if logs is None else np.asarray(logs.double().cpu().numpy())


def _log_loss(logits: Floats, gold: NDArray[np.int64]) -> float:
    top = logits.max(axis=1)
    sums = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
    return float((sums - logits[np.arange(len(gold)), gold]).mean())


def _temperature(logits: Floats, gold: NDArray[np.int64]) -> float:
    """Within a factor of 20 of 1; 1 where there is nothing to learn from."""
    if not len(gold):
        return 1.0
    found = minimize_scalar(
        lambda log: _log_loss(logits / np.exp(log), gold), bounds=(-np.log(20), np.log(20)), method="bounded"
    )
    return float(np.exp(found.x))


def _mix_classes(posterior: Floats, logits: Floats, gold: NDArray[np.int64], start: float) -> tuple[float, float]:
    """Non-negative weights, so that neither is ever turned against itself."""
    found = minimize(
        lambda weights: _log_loss(weights[0] * posterior + weights[1] * logits, gold),
        x0=np.array([start / 2, 0.5]),
        bounds=((0.0, 20.0), (0.0, 20.0)),
        method="L-BFGS-B",
    )
    one, other = (float(weight) for weight in found.x)
    return (one, other) if one + other > 0 else (start, 0.0)


def _mix_numbers(mean: Floats, read: Floats, truth: Floats, absolute: bool) -> tuple[float, float]:
    error = np.abs if absolute else np.square
    losses = [float(error((1 - share) * mean + share * read - truth).mean()) for share in _SHARES]
    share = float(_SHARES[int(np.argmin(losses))])
    return 1.0 - share, share
