"""YAML files, ``a.b=c`` assignments and dictionaries → the settings of a run; every problem is reported at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from predgen.config import FieldConfig, RunConfig
from predgen.data.tasks.defaults import task_settings
from predgen.errors import ConfigError, nearest
from predgen.profiles import PROFILES


def load_config(
    path: str | Path | None = None,
    assignments: Sequence[str] = (),
    overrides: Mapping[str, object] | None = None,
    under: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Reads a YAML file and lays assignments over it; the later wins.

    Args:
        path: A YAML file of nested settings, or None for the defaults.
        assignments: Strings ``a.b=c``; the value is read as YAML (``train.epochs=2``, ``data.target=null``).
        overrides: Dotted keys to values, laid over both; None values are skipped.
        under: Nested settings laid under all of them, and over a profile's.

    Where ``data.source`` names a task (`predgen.data.tasks`), what its record says lies under everything.

    Returns:
        The validated settings.

    Raises:
        ConfigError: If the file cannot be read, or a key or value is wrong; the message lists every problem.
    """
    settings = _merged(under or {}, _read_yaml(Path(path)) if path is not None else {})
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"The assignment {assignment!r} has no '='.", "Expected KEY=VALUE, e.g. train.epochs=2.")
        try:
            _assign(settings, key.strip(), yaml.safe_load(text))
        except yaml.YAMLError as problem:
            raise ConfigError(f"The value in {assignment!r} is not YAML: {problem}") from problem
    for key, value in (overrides or {}).items():
        if value is not None:
            _assign(settings, key, value)
    settings = _over_profile(_over_task(settings))
    return config_from_dict(settings, where=str(path) if path is not None else "the settings")


def config_from_dict(settings: Mapping[str, Any], where: str = "the settings") -> RunConfig:
    """Validates nested settings.

    Args:
        settings: What a YAML file holds.
        where: Named in the error message.

    Raises:
        ConfigError: If keys or values are wrong; the message lists every problem.
    """
    try:
        return TypeAdapter(RunConfig).validate_python(_floats(settings))
    except ValidationError as error:
        problems = [_describe(dict(problem)) for problem in error.errors()]
        raise ConfigError(f"{where}: {len(problems)} problem(s):\n  " + "\n  ".join(problems)) from None


def with_settings(config: RunConfig, settings: Mapping[str, object]) -> RunConfig:
    """The settings with some of them changed.

    Args:
        config: What the rest is taken from.
        settings: Dotted names to values.

    Raises:
        ConfigError: If a name or value is wrong.
    """
    nested = config.to_dict()
    for name, value in settings.items():
        _assign(nested, name, value)
    return config_from_dict(nested)


def named_settings(
    path: str | Path | None = None, assignments: Sequence[str] = (), overrides: Mapping[str, object] | None = None
) -> set[str]:
    """The dotted names of all that was set, as `load_config` takes it; a profile's settings are among them.

    Raises:
        ConfigError: If the file cannot be read, or names an unknown profile.
    """
    settings = _read_yaml(Path(path)) if path is not None else {}
    for assignment in assignments:
        key, _, text = assignment.partition("=")
        _assign(settings, key.strip(), yaml.safe_load(text))
    for key, value in (overrides or {}).items():
        if value is not None:
            _assign(settings, key, value)
    return setting_names(_over_profile(settings))


def setting_names(settings: Mapping[str, Any], prefix: str = "") -> set[str]:
    """The dotted names of nested settings."""
    names: set[str] = set()
    for key, value in settings.items():
        names |= setting_names(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}"}
    return names


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ConfigError(f"The config file {path} cannot be read: {problem.strerror}.") from problem
    except yaml.YAMLError as problem:
        raise ConfigError(f"{path} is not YAML: {problem}") from problem
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError(f"{path} holds a {type(settings).__name__}.", "Expected keys such as method: and train:.")
    return settings


def _over_task(settings: dict[str, Any]) -> dict[str, Any]:
    """What is set, over what the task that `data.source` names says of a run."""
    return _merged(task_settings(settings), settings)


def _over_profile(settings: dict[str, Any]) -> dict[str, Any]:
    """What is set, over what the profile that it names sets."""
    name = settings.get("profile")
    if name is None:
        return settings
    if name not in PROFILES:
        raise ConfigError(f"Unknown profile {name!r}:", nearest(str(name), PROFILES))
    return _merged(PROFILES[name], settings)


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _assign(settings: dict[str, Any], dotted: str, value: object) -> None:
    *sections, leaf = dotted.split(".")
    for section in sections:
        if not isinstance(settings.get(section), dict):
            settings[section] = {}
        settings = settings[section]
    settings[leaf] = value


def _floats(value: Any) -> Any:
    """YAML 1.1 reads ``1e-3`` as a string, since it has no point; people write it all the same."""
    if isinstance(value, Mapping):
        return {key: _floats(inner) for key, inner in value.items()}
    if isinstance(value, str) and "e" in value.lower() and value[:1] in "+-.0123456789":
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _describe(problem: Mapping[str, Any]) -> str:
    # A key of a dataclass behind a union appears in the location as such; only our own names are of use.
    location = [str(part) for part in problem["loc"] if not str(part).startswith(("literal[", "function-"))]
    name = ".".join(location)
    if problem["type"] == "unexpected_keyword_argument":
        known = known_keys(location[:-1])
        return f"{name}: unknown key; {nearest(location[-1], known)}"
    return f"{name}: {problem['msg']}; found {problem['input']!r}."


def known_keys(sections: Sequence[str] = ()) -> list[str]:
    """The keys that a section accepts.

    Args:
        sections: The path of the section; empty for the top level.
    """
    current: Any = RunConfig
    # A record's fields go by names of the user's.
    if sections[:1] == ["fields"] and len(sections) > 1:
        current, sections = FieldConfig, sections[2:]
    for section in sections:
        default = next(field for field in dataclasses.fields(current) if field.name == section).default_factory
        current = default
    return [field.name for field in dataclasses.fields(current)]
