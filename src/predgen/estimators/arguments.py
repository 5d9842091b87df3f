"""Constructor arguments of the estimators ↔ the settings of a run.

The settings are nested and many; scikit-learn's tools know only flat arguments. What one searches over, or needs in
order to fit at all, is an argument of its own, called as the last part of the setting's name; all others go through
``settings``, as ``--set`` does on the command line. No setting has two ways in: one that has an argument is refused in
``settings``, so that nothing depends on which of the two would win.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import yaml

from predgen.config import RunConfig
from predgen.config_reading import load_config
from predgen.errors import ConfigError

# Names that differ from the setting's are scikit-learn's own, which its tools look for (random_state, class_weight), or
# the command line's (model, peft).
SHARED: dict[str, str] = {
    "method": "method",
    "loss": "loss",
    "model": "model.name",
    "peft": "peft.method",
    "rank": "peft.rank",
    "alpha": "peft.alpha",
    "dropout": "peft.dropout",
    "template": "data.template",
    "cue": "prompt.cue",
    "max_tokens": "prompt.max_tokens",
    "long": "prompt.long",
    "chat": "prompt.chat",
    "dev_size": "data.dev_size",
    "epochs": "train.epochs",
    "max_steps": "train.max_steps",
    "batch_size": "train.batch_size",
    "accumulate": "train.accumulate",
    "eval_batch_size": "train.eval_batch_size",
    "learning_rate": "train.learning_rate",
    "weight_decay": "train.weight_decay",
    "evaluations": "train.evaluations",
    "precision": "train.precision",
    "time_budget": "train.time_budget",
    "patience": "train.patience",
    "metric": "train.metric",
    "calibrate": "train.calibrate",
    "random_state": "train.seed",
}
FOR_LABELS: dict[str, str] = {
    **SHARED,
    "labels": "space.labels",
    "ordered": "space.ordered",
    "class_weight": "train.class_weights",
}
FOR_NUMBERS: dict[str, str] = {
    **SHARED,
    "low": "space.low",
    "high": "space.high",
    "decimals": "space.decimals",
}

# What an estimator decides itself, and what to use instead of the setting.
_TAKEN: dict[str, str] = {
    "task": "The class says which task it is.",
    "out": "Every fit writes to a folder of its own; save(folder) keeps it.",
    "data.source": "Rows are given to fit().",
    "data.root": "Rows are given to fit().",
    "data.text": "Rows are given to fit(); template says how columns become a prompt.",
    "data.target": "Targets are given to fit().",
    "data.weight": "Weights are given to fit(), as sample_weight.",
    "data.dev": "Dev rows are given to fit(), as eval_set.",
    "data.eval": "score() reports on rows.",
    "data.test_size": "score() reports on rows, which are split off before.",
}


def setting_of(config: RunConfig, name: str) -> Any:
    """The value at a dotted name."""
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def config_of(
    names: Mapping[str, str], arguments: Mapping[str, Any], settings: Sequence[str], decided: Mapping[str, Any]
) -> RunConfig:
    """The settings that an estimator's arguments stand for.

    Args:
        names: Argument → setting.
        arguments: The values, settings' own already.
        settings: Assignments ``a.b=c`` of settings that have no argument.
        decided: What the estimator sets itself, by dotted names.

    Raises:
        ConfigError: If a value is wrong, or an assignment names a setting that has an argument or is not the user's.
    """
    _check_assignments(names, settings)
    defaults = RunConfig()
    # What is left at its default is not set at all, so that a profile in the settings can lie under it.
    chosen = {
        name: plain(arguments[argument])
        for argument, name in names.items()
        if _differs(arguments[argument], setting_of(defaults, name))
    }
    return load_config(None, settings, {**chosen, **decided})


def arguments_of(names: Mapping[str, str], config: RunConfig) -> dict[str, Any]:
    """The arguments that a run's settings stand for."""
    return {argument: setting_of(config, name) for argument, name in names.items()}


def settings_besides(names: Mapping[str, str], config: RunConfig) -> list[str]:
    """Assignments of all settings that differ from their default, have no argument, and are the user's."""
    kept = {*names.values(), *_TAKEN, "fields"}
    default = _flat(RunConfig().to_dict())
    return [
        f"{name}={yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=2**20).split(chr(10))[0]}"
        for name, value in _flat(config.to_dict()).items()
        if name not in kept and value != default.get(name)
    ]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names → values; settings that are mappings themselves stay whole."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        group = is_dataclass(_group(f"{prefix}{key}"))
        flat |= _flat(value, f"{prefix}{key}.") if group else {f"{prefix}{key}": value}
    return flat


def _check_assignments(names: Mapping[str, str], settings: Sequence[str]) -> None:
    if isinstance(settings, str):
        raise ConfigError(f"settings={settings!r} is one text.", "Expected a list of assignments.", f"[{settings!r}]")
    by_setting = {name: argument for argument, name in names.items()}
    for assignment in settings:
        name = str(assignment).partition("=")[0].strip()
        if name in by_setting:
            raise ConfigError(
                f"settings has {assignment!r}, for which there is the argument {by_setting[name]}.",
                remedy=f"Give {by_setting[name]}=… instead.",
            )
        if name in _TAKEN:
            raise ConfigError(f"settings has {assignment!r}, which an estimator decides.", remedy=_TAKEN[name])
        if is_dataclass(_group(name)):
            raise ConfigError(
                f"settings has {assignment!r}, a whole group.",
                f"Expected one setting, such as {name}.{fields(_group(name))[0].name}=….",
            )


def _group(name: str) -> Any:
    """What stands at a dotted name by default; None where there is no such name, which is reported elsewhere."""
    try:
        return setting_of(RunConfig(), name)
    except AttributeError:
        return None


def plain(value: Any) -> Any:
    """The same without numpy's scalars, which searches hand over."""
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


def _differs(value: Any, default: Any) -> bool:
    value = plain(value)
    return type(value) is not type(default) or bool(value != default)
