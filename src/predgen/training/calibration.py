"""What the dev rows say once training is over: temperatures, writer and director mixed, the decision, the errors."""

from __future__ import annotations

from dataclasses import dataclass

from predgen.answers.spaces import Space
from predgen.config import Switch
from predgen.decoding.calibrate import FEWEST_ROWS, Calibration, fit_calibration
from predgen.decoding.conformal import Conformal, held_out_errors
from predgen.errors import ConfigError
from predgen.evaluation import Targets, decision_metrics
from predgen.metrics import better
from predgen.model.outputs import Scores
from predgen.training.dev_result import DevResult
from predgen.training.prepare import Say

_WORTH_SAYING = 0.1  # of the metric; a temperature moves means and medians a little in every run


@dataclass(frozen=True)
class Judged:
    """The dev rows under the final weights.

    Args:
        calibration: Fitted on them, or one that does nothing.
        result: Every decision on them, calibrated, and the best.
        conformal: How far off each decision was, by its name.
    """

    calibration: Calibration
    result: DevResult
    conformal: dict[str, Conformal]


def check_calibration(calibrate: Switch, dev_rows: int) -> None:
    """Refuses to calibrate on too few rows, before anything is trained.

    Raises:
        ConfigError: If it was asked for outright.
    """
    if calibrate == "on" and dev_rows < FEWEST_ROWS:
        raise ConfigError(
            f"train.calibrate=on, but there are {dev_rows} dev rows.",
            f"At least {FEWEST_ROWS} are needed.",
            "Raise data.dev_size, or leave it at auto.",
        )


def judge(
    scores: Scores, space: Space, reader_name: str | None, truth: Targets, metric: str, calibrate: Switch, say: Say
) -> Judged:
    """Calibrates on dev rows where they are enough, and decides again with what came of it.

    Args:
        scores: Of the dev rows, as the method gave them.
        space: The answers.
        reader_name: What the method calls its director or head.
        truth: The dev targets.
        metric: What selects the decision.
        calibrate: Whether to.
        say: Takes one line at a time.
    """
    calibration = Calibration()
    if calibrate != "off" and len(truth) >= FEWEST_ROWS:
        calibration = fit_calibration(scores, space, truth, metric)
    elif calibrate != "off":
        say(f"Not calibrated: {len(truth)} dev rows, {FEWEST_ROWS} are needed. (train.calibrate, data.dev_size)")
    applied = calibration.apply(scores, space)
    result = DevResult(decision_metrics(applied, space, reader_name, truth), metric, [applied])
    if calibration.rows:
        raw = DevResult(decision_metrics(scores, space, reader_name, truth), metric, [scores])
        _say_what_it_costs(result, raw, say)
    errors = {name: held_out_errors(applied, space, name, reader_name, truth) for name in result.decisions}
    return Judged(calibration, result, errors)


def _say_what_it_costs(calibrated: DevResult, raw: DevResult, say: Say) -> None:
    """A posterior that was trained for its mean alone may be so far from any probabilities that tempering spoils it."""
    metric, change = raw.metric, abs(raw.value - calibrated.value)
    if better(metric, raw.value, calibrated.value) and change > _WORTH_SAYING * abs(raw.value):
        say(
            f"Calibrated, dev {metric} goes from {raw.value:.4f} to {calibrated.value:.4f}: this posterior's mean is "
            "of use, and its probabilities are not. train.calibrate=off leaves it as it was trained."
        )
