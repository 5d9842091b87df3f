"""What is searched: settings and their candidates."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from predgen.config import RunConfig
from predgen.config_reading import setting_names, with_settings
from predgen.errors import ConfigError, nearest

if TYPE_CHECKING:
    from optuna import Trial

Value = str | int | float | bool | None
# These PEFT methods have no rank.
_RANKLESS = ("ia3", "prompt-tuning", "propulsion", "full")


@dataclass(frozen=True)
class Dimension:
    """One setting and its candidates: a list, or a range.

    Args:
        name: The setting, dotted.
        choices: The candidates; empty for a range.
        low: The range's lower end.
        high: Its upper end.
        log: Whether it is searched by factors and not by differences.
        whole: Whether it holds integers only.
        only: Other setting → values of it for which this one matters; elsewhere it is not asked for.
        unless: Other setting → values of it for which this one does not matter.
    """

    name: str
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    only: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    unless: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    def matters(self, config: RunConfig) -> bool:
        """Whether the setting does anything beside the others' values."""
        kept = all(value_of(config, name) in values for name, values in self.only.items())
        return kept and all(value_of(config, name) not in values for name, values in self.unless.items())

    def suggest(self, trial: Trial) -> Value:
        """Asks the study for a value."""
        if self.choices:
            return trial.suggest_categorical(self.name, self.choices)
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def holds(self, value: Value) -> bool:
        """Whether a value is one of the candidates."""
        if self.choices:
            return value in self.choices
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (not self.whole or float(value).is_integer())

    def __str__(self) -> str:
        if self.choices:
            return f"{self.name}: {', '.join('null' if each is None else str(each) for each in self.choices)}"
        return f"{self.name}: {self.low:g}..{self.high:g}{' log' if self.log else ''}"


DEFAULT: tuple[Dimension, ...] = (
    Dimension("method", ("predgen", "generator", "predictor")),
    # None: as suits the director
    Dimension("loss", (None, "wdal_released", "wdal", "sum"), only={"method": ("predgen",)}),
    Dimension("peft.method", ("lora", "rslora", "dora", "rocoft")),
    Dimension("peft.rank", (4, 8, 16, 32), unless={"peft.method": _RANKLESS}),
    Dimension("train.learning_rate", low=1e-4, high=1e-2, log=True),
    Dimension("train.epochs", low=1, high=5, whole=True),
)


def value_of(config: RunConfig, name: str) -> Any:
    """The value of a setting."""
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def dimensions(searched: Sequence[str], given: Collection[str]) -> tuple[Dimension, ...]:
    """What is searched: the default dimensions but for those that were set, and what was asked for.

    Args:
        searched: As ``train.learning_rate=1e-5..1e-3 log``, ``peft.rank=4,8`` or ``train.epochs=1..4``.
        given: Settings that have a value already.

    Raises:
        ConfigError: If one cannot be read, is no setting, or is both set and searched; or if nothing is left.
    """
    asked = [read_dimension(text) for text in searched]
    for each in asked:
        if each.name in given:
            raise ConfigError(f"{each.name} is set, and was to be searched.", remedy="Do one or the other.")
    named = {each.name for each in asked}
    limits = set(given)
    if limits & {"train.max_steps"}:
        limits.add("train.epochs")  # which would do nothing
    kept = [each for each in DEFAULT if each.name not in limits and each.name not in named]
    if not kept and not asked:
        raise ConfigError("Every setting that is searched is set already.", remedy="Name others with --search.")
    known = {each.name: each for each in DEFAULT}
    # Other candidates do not change what a setting depends on.
    asked = [
        Dimension(e.name, e.choices, e.low, e.high, e.log, e.whole, known[e.name].only, known[e.name].unless)
        if e.name in known
        else e
        for e in asked
    ]
    order = [each.name for each in DEFAULT]
    return tuple(sorted([*kept, *asked], key=lambda e: order.index(e.name) if e.name in order else len(order)))


def read_dimension(text: str) -> Dimension:
    """``NAME=a,b,c``, ``NAME=1..5`` or ``NAME=1e-4..1e-2 log``.

    Raises:
        ConfigError: If it reads otherwise, or NAME is no setting.
    """
    name, sign, candidates = text.partition("=")
    name, candidates = name.strip(), candidates.strip()
    if not sign or not candidates:
        raise ConfigError(f"--search {text!r} cannot be read.", "Expected NAME=a,b,c or NAME=low..high, or … log.")
    _check_setting(name)
    number = r"[-+]?[\d.]+(?:[eE][-+]?\d+)?"
    if match := re.fullmatch(rf"({number})\.\.({number})(\s+log)?", candidates):
        ends = match.group(1), match.group(2)
        try:
            low, high = map(float, ends)
        except ValueError:
            raise ConfigError(f"--search {text!r} has ends that are no numbers.") from None
        log = match.group(3) is not None
        if not low < high or not math.isfinite(high) or (log and low <= 0):
            raise ConfigError(f"--search {text!r} is an empty range.", "The lower end comes first; with log, above 0.")
        return Dimension(name, low=low, high=high, log=log, whole=all(re.fullmatch(r"[-+]?\d+", end) for end in ends))
    try:
        read = [yaml.safe_load(each) for each in candidates.split(",")]
    except yaml.YAMLError:
        read = [candidates, {}]
    if any(not isinstance(each, Value) for each in read) or len(read) < 2:
        raise ConfigError(f"--search {text!r} names {len(read)} candidate(s).", "Expected two or more plain values.")
    choices = tuple(_number(each) for each in read)
    for each in choices:
        with_settings(RunConfig(), {name: each})  # refuses a value of the wrong type
    return Dimension(name, choices)


def _number(value: Any) -> Value:
    """YAML 1.1 reads ``1e-3`` as a text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    plain: Value = value
    return plain


def _check_setting(name: str) -> None:
    names = setting_names(RunConfig().to_dict())
    if name not in names:
        raise ConfigError(f"--search names {name!r}, which is no setting:", nearest(name, names))


def suggested(trial: Trial, searched: Sequence[Dimension], config: RunConfig) -> dict[str, Value]:
    """A value of each dimension that matters, asked for in order."""
    chosen: dict[str, Value] = {}
    for dimension in searched:
        if dimension.matters(config):
            chosen[dimension.name] = dimension.suggest(trial)
            config = with_settings(config, {dimension.name: chosen[dimension.name]})
    return chosen


def as_they_stand(searched: Sequence[Dimension], config: RunConfig) -> dict[str, Value] | None:
    """The settings' own values, where all are candidates: what a search should at least not do worse than."""
    values = {each.name: value_of(config, each.name) for each in searched if each.matters(config)}
    return values if all(each.holds(values[each.name]) for each in searched if each.name in values) else None
