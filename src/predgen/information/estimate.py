"""One number with its guard rails: held-out rows, several seeds, an interval, a ceiling, and flags."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from predgen.errors import ConfigError, DataError, nearest
from predgen.information.critic import Bound, CriticSettings, bound_value, fit_critic, read_bound
from predgen.information.probe import probe_rows
from predgen.information.targets import Target

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ESTIMATORS = ("mine", "nwj", "infonce", "probe")
FEWEST_ROWS = 150  # below that the held-out third says more of chance than of information
FEWEST_EFFECTIVE = 10.0  # held-out rows that e^T must rest on
_SPREAD, _SHARE = 0.1, 0.25  # seeds further apart than the larger of 0.1 nats and a quarter are called unstable


@dataclass(frozen=True)
class EstimateSettings:
    """How an estimate is made.

    Args:
        seeds: One fit each.
        held_out: Share of the rows that no fit sees.
        resamples: Of the bootstrap.
        level: Of its interval.
        critic: How the statistics network is fitted.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    held_out: float = 1 / 3
    resamples: int = 1000
    level: float = 0.95
    critic: CriticSettings = field(default_factory=CriticSettings)


@dataclass(frozen=True)
class Estimate:
    """I(A; Y) by one estimator.

    Args:
        estimator: In `ESTIMATORS`.
        nats: The mean over seeds on held-out rows, at most the ceiling.
        low: Lower end of the interval, over held-out rows and seeds.
        high: Its upper end.
        seeds: Each seed's value, as it came out.
        ceiling: H(Y) in nats, if anything caps the information.
        fitted_on: Rows that the estimator was fitted on, validation included.
        read_on: Held-out rows.
        flags: What a reader should not overlook; empty where there is nothing.
    """

    estimator: str
    nats: float
    low: float
    high: float
    seeds: tuple[float, ...]
    ceiling: float | None
    fitted_on: int
    read_on: int
    flags: tuple[str, ...] = field(default=())

    @property
    def bits(self) -> float:
        """The same in bits."""
        return self.nats / math.log(2)

    def to_json(self) -> dict[str, Any]:
        """A JSON form, its keys the fields' names, and bits."""
        return {**asdict(self), "bits": self.bits}


def split_held_out(rows: int, settings: EstimateSettings) -> tuple[Integers, Integers]:
    """Rows to fit on and rows to read off, the same for every representation of the same rows.

    Args:
        rows: How many there are.
        settings: `held_out` is read.

    Raises:
        DataError: If they are too few.
    """
    if rows < FEWEST_ROWS:
        raise DataError(
            f"{rows} rows are too few to estimate information on.",
            f"At least {FEWEST_ROWS} are needed, a third of which are held out; a thousand or more are better.",
        )
    order = np.random.default_rng(0).permutation(rows)
    held = round(settings.held_out * rows)
    return np.sort(order[held:]), np.sort(order[:held])


def estimate(
    a: Floats, target: Target, fit_rows: Integers, held_out: Integers, estimator: str, settings: EstimateSettings
) -> Estimate:
    """Estimates I(A; Y).

    Args:
        a: (N, d), brought to zero mean and unit variance here, by the fitting rows.
        target: N targets.
        fit_rows: Rows to fit on.
        held_out: Other rows, which the value is read off.
        estimator: In `ESTIMATORS`.
        settings: Seeds and sizes.

    Raises:
        ConfigError: If the estimator is unknown.
        DataError: If there are too few rows, or `a` is not finite.
    """
    if estimator not in ESTIMATORS:
        raise ConfigError(f"Unknown estimator {estimator!r}:", nearest(estimator, ESTIMATORS))
    if len(fit_rows) + len(held_out) < FEWEST_ROWS:
        split_held_out(len(fit_rows) + len(held_out), settings)
    if not np.isfinite(a).all():
        raise DataError("A representation holds numbers that are not finite.", "Nothing can be estimated of it.")
    # Without a single number that varies it is a constant.
    scaled = _standardised(np.asarray(a if a.shape[1] else np.zeros((len(a), 1)), dtype=np.float64), fit_rows)
    joint, product = [], []
    for seed in settings.seeds:
        if estimator == "probe":
            rows = probe_rows(scaled, target, fit_rows, held_out, seed)
            joint.append(rows)
            product.append(np.zeros_like(rows))
        else:
            part = _by_critic(scaled, target, fit_rows, held_out, estimator, settings, seed)  # type: ignore[arg-type]
            joint.append(part[0])
            product.append(part[1])
    how: Bound = "infonce" if estimator == "probe" else estimator  # type: ignore[assignment]
    return _judged(estimator, how, np.array(joint), np.array(product), target, len(fit_rows), a.shape[1], settings)


def _by_critic(
    scaled: Floats,
    target: Target,
    fit_rows: Integers,
    held_out: Integers,
    bound: Bound,
    settings: EstimateSettings,
    seed: int,
) -> tuple[Floats, Floats]:
    a = torch.tensor(scaled, dtype=torch.float32)
    y = torch.tensor(target.codes) if target.codes is not None else torch.tensor(target.values, dtype=torch.float32)
    critic = fit_critic(a[fit_rows], y[fit_rows], target.classes, bound, settings.critic, seed)
    return read_bound(critic, a[held_out], y[held_out], bound, settings.critic.batch, seed)


def _judged(
    estimator: str,
    bound: Bound,
    joint: Floats,
    product: Floats,
    target: Target,
    fitted_on: int,
    width: int,
    settings: EstimateSettings,
) -> Estimate:
    """Seeds × rows → value, interval, flags."""
    seeds, rows = joint.shape
    values = bound_value(bound, joint, product)
    draw = np.random.default_rng(0)
    resampled = np.empty(settings.resamples)
    for number in range(settings.resamples):
        chosen = draw.integers(rows, size=rows)
        by_seed = bound_value(bound, joint[:, chosen], product[:, chosen])
        resampled[number] = by_seed[draw.integers(seeds, size=seeds)].mean()
    tail = (1 - settings.level) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    mean, flags = float(values.mean()), []
    if target.entropy is not None and mean > target.entropy:
        flags.append(f"above H(Y): {mean:.3f} nats came out, cut to {target.entropy:.3f}")
    if seeds > 1 and np.ptp(values) > max(_SPREAD, _SHARE * abs(mean)):
        flags.append(f"unstable: seeds range from {values.min():.3f} to {values.max():.3f} nats")
    weights = np.exp(product - product.max(axis=1, keepdims=True))
    effective = float((weights.sum(axis=1) ** 2 / np.square(weights).sum(axis=1)).min())
    if effective < FEWEST_EFFECTIVE:
        flags.append(f"unstable: e^T rests on {effective:.1f} held-out rows")
    if estimator == "infonce" and mean > 0.9 * math.log(settings.critic.batch):
        flags.append(f"near its own ceiling, the logarithm of {settings.critic.batch} rows: the truth may be higher")
    if width > fitted_on:
        flags.append(f"{width} dimensions on {fitted_on} rows: too low rather than too high")
    ceiling = math.inf if target.entropy is None else target.entropy
    return Estimate(
        estimator=estimator,
        nats=min(mean, ceiling),
        low=float(min(low, ceiling)),
        high=float(min(high, ceiling)),
        seeds=tuple(float(value) for value in values),
        ceiling=target.entropy,
        fitted_on=fitted_on,
        read_on=rows,
        flags=tuple(flags),
    )


def _standardised(a: Floats, fit_rows: Integers) -> Floats:
    mean, spread = a[fit_rows].mean(axis=0), a[fit_rows].std(axis=0)
    # A coordinate that never varies says nothing; it must not be blown up by dividing by next to nothing.
    scaled: Floats = np.where(spread > 1e-9, (a - mean) / np.where(spread > 1e-9, spread, 1.0), 0.0)
    return scaled
