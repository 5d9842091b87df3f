"""What a caller may ask of predictions beyond a run's defaults, checked before any row is scored."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from predgen.answers.spaces import FreeNumber, LabelSet, Space
from predgen.decoding.decide import INTERVAL_LEVEL
from predgen.errors import ConfigError, nearest

IntervalKind = Literal["conformal", "central", "highest"]


@dataclass(frozen=True)
class PredictOptions:
    """How scores become predictions; as it stands, the run's own way.

    Args:
        decision: One of the run's decisions; None: the one that was best on dev.
        level: In (0, 1): the share of new rows that intervals (numbers) and sets (labels) are to hold.
        top: Labels: list the probabilities of so many, the likeliest first; None: of all.
        thresholds: Labels: label → probability from which on it is chosen, over any other.
        costs: Labels: true label → predicted label → cost; the label of least expected cost is chosen. What is left
            out costs 1, and a right answer 0.
        abstain_below: Labels: no prediction is made where the chosen label's probability is below it.
        interval: Numbers: "conformal" lies around the prediction; "central" and "highest" (the shortest there is) are
            the posterior's own. None: "conformal"; or "central" of drawn answers, which dev rows say nothing of.
        quantiles: Numbers: levels in (0, 1) of the posterior's quantiles.
        above: Numbers: the posterior's probability of exceeding each.
        samples: Free numbers: so many answers are drawn for each row, and their shares are its distribution
            (self-consistency, Wang et al. 2023). Then "mode" (the vote), "median" and "mean" are the decisions, the
            vote by default.
        temperature: Free numbers: what the logits of drawn tokens are divided by, above 0.
        seed: Free numbers: of what is drawn; with it, a row at the same place has the same answers in any batch.
    """

    decision: str | None = None
    level: float = INTERVAL_LEVEL
    top: int | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, Mapping[str, float]] | None = None
    abstain_below: float | None = None
    interval: IntervalKind | None = None
    quantiles: tuple[float, ...] = ()
    above: tuple[float, ...] = ()
    samples: int | None = None
    temperature: float = 1.0
    seed: int = 0

    @property
    def interval_kind(self) -> IntervalKind:
        """The kind of interval, decided."""
        return self.interval or ("conformal" if self.samples is None else "central")


def interval_kind(name: str) -> IntervalKind:
    """A kind of interval by its name.

    Raises:
        ConfigError: The message lists the known.
    """
    for kind in get_args(IntervalKind):
        if kind == name:
            return kind  # type: ignore[no-any-return]
    raise ConfigError(f"Unknown interval {name!r}:", nearest(name, get_args(IntervalKind)))


def read_thresholds(assignments: Sequence[str]) -> dict[str, float]:
    """``LABEL=P`` of each, as a mapping; the label may contain equals signs.

    Raises:
        ConfigError: If one does not read so.
    """
    thresholds = {}
    for assignment in assignments:
        label, _, number = assignment.rpartition("=")
        try:
            thresholds[label] = float(number)
        except ValueError:
            label = ""
        if not label:
            raise ConfigError(f"The threshold {assignment!r} cannot be read.", "Expected LABEL=P, such as spam=0.9.")
    return thresholds


def read_costs(path: str) -> dict[str, dict[str, float]]:
    """True label → predicted label → cost, of a JSON file.

    Raises:
        ConfigError: If it cannot be read, or is something else.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        costs = {true: {predicted: float(cost) for predicted, cost in row.items()} for true, row in record.items()}
    except (OSError, ValueError, AttributeError, TypeError) as problem:
        raise ConfigError(
            f"The costs in {path} cannot be read: {problem}", 'Expected JSON {"true": {"predicted": cost}}.'
        ) from problem
    return costs


def check_options(options: PredictOptions, space: Space, decisions: Collection[str]) -> None:
    """Refuses what a run cannot give.

    Args:
        options: As asked.
        space: The run's answers.
        decisions: The names of the run's decisions.

    Raises:
        ConfigError: If something is out of range, or not for these answers, or needs a posterior that there is not.
    """
    if options.samples is not None:
        decisions = _check_samples(options, space, decisions)
    if options.decision is not None and options.decision not in decisions:
        raise ConfigError(f"This run has no decision {options.decision!r}:", nearest(options.decision, decisions))
    for name, shares in (("level", (options.level,)), ("quantile", options.quantiles)):
        for share in shares:
            if not 0.0 < share < 1.0:
                raise ConfigError(f"The {name} {share:g} is out of range.", "Expected a share between 0 and 1.")
    if isinstance(space, LabelSet):
        _check_for_labels(options, space)
    else:
        _check_for_numbers(options, has_posterior="mean" in decisions)


def _check_for_labels(options: PredictOptions, space: LabelSet) -> None:
    _refuse("numbers", interval=options.interval_kind != "conformal", quantiles=options.quantiles, above=options.above)
    if options.thresholds and options.costs is not None:
        raise ConfigError("Thresholds and costs are two ways to decide.", remedy="Give one of them.")
    costs = options.costs or {}
    for label in (*options.thresholds, *costs, *(predicted for row in costs.values() for predicted in row)):
        if label not in space.labels:
            raise ConfigError(f"This run has no label {label!r}:", nearest(label, space.labels))
    if not all(math.isfinite(cost) for row in costs.values() for cost in row.values()):
        raise ConfigError("A cost is not finite.", "Expected numbers.")
    for label, threshold in options.thresholds.items():
        if not 0.0 <= threshold <= 1.0:
            raise ConfigError(f"The threshold {threshold:g} of {label!r} is no probability.")
    if set(options.thresholds) == set(space.labels):
        raise ConfigError(
            "Every label has a threshold, so that a row may reach none.",
            remedy="Leave one without: it is chosen where no other reaches its own. Or use abstain_below.",
        )
    if options.top is not None and options.top < 1:
        raise ConfigError(f"The likeliest {options.top} labels were asked for.", "Expected at least 1.")
    if options.abstain_below is not None and not 0.0 <= options.abstain_below <= 1.0:
        raise ConfigError(f"abstain_below={options.abstain_below:g} is no probability.")


def _check_for_numbers(options: PredictOptions, has_posterior: bool) -> None:
    _refuse(
        "labels",
        top=options.top is not None,
        thresholds=options.thresholds,
        costs=options.costs is not None,
        abstain_below=options.abstain_below is not None,
    )
    if not has_posterior and (options.interval_kind != "conformal" or options.quantiles or options.above):
        raise ConfigError(
            "Quantiles, probabilities of exceeding a number, central and highest intervals are read off a posterior.",
            "This run has none: it is a predictor's, or of free numbers.",
            "Its conformal intervals need none; of free numbers, samples give one.",
        )


def _check_samples(options: PredictOptions, space: Space, decisions: Collection[str]) -> tuple[str, ...]:
    """The decisions over drawn answers."""
    if not isinstance(space, FreeNumber) or "greedy" not in decisions:
        raise ConfigError(
            "samples are for free numbers that are written.",
            "This run's distribution needs none."
            if not isinstance(space, FreeNumber)
            else "This run is a predictor's, which writes nothing.",
        )
    if options.samples is not None and options.samples < 1:
        raise ConfigError(f"{options.samples} samples were asked for.", "Expected at least 1.")
    if not (math.isfinite(options.temperature) and options.temperature > 0):
        raise ConfigError(f"The temperature {options.temperature:g} is out of range.", "Expected a number above 0.")
    if options.interval == "conformal":
        raise ConfigError(
            "Conformal intervals hold for what the dev rows were decided by, and those were not drawn.",
            remedy="Leave samples away, or choose interval central or highest.",
        )
    return ("mode", "median", "mean")


def _refuse(of: str, **asked: object) -> None:
    for name, value in asked.items():
        if value:
            raise ConfigError(f"{name} is for {of}, which this run does not predict.")
