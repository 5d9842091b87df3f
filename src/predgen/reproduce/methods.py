"""The methods that the grid compares, each as settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from predgen.errors import ConfigError, nearest


@dataclass(frozen=True)
class GridMethod:
    """One row of the tables.

    Args:
        name: What ``--methods`` takes.
        settings: Over the defaults of a run.
        printed: The paper's row that it stands beside; None for a baseline that the paper has not.
        title: In the tables.
        by_kind: What differs by the task's answers ("classification", "regression"), over `settings`.
    """

    name: str
    settings: Mapping[str, Any]
    printed: str | None
    title: str
    by_kind: Mapping[str, Mapping[str, Any]]


def _method(
    name: str,
    settings: Mapping[str, Any],
    printed: str | None,
    title: str,
    by_kind: Mapping[str, Mapping[str, Any]] | None = None,
) -> GridMethod:
    return GridMethod(name, settings, printed, title, by_kind or {})


METHODS: dict[str, GridMethod] = {
    method.name: method
    for method in (
        _method(
            "predictor",
            {"method": "predictor", "predictor": {"pooling": "last"}},
            "predictor",
            "Predictor (last token)",
        ),
        _method(
            "predictor-attention",
            {"method": "predictor", "predictor": {"pooling": "attention"}},
            None,
            "Predictor (attention pooling)",
        ),
        _method("generator", {"method": "generator"}, "generator", "Generator"),
        _method("predgen", {"method": "predgen"}, "predgen", "PredGen"),
        # What the paper's text says: the history as a whole is gold or the model's own (section 4), the joint loss as
        # printed (appendix A), a mean state for classes (D.1), the ordered penalty for numbers (D.2).
        _method(
            "predgen-paper",
            {
                "method": "predgen",
                "loss": "wdal",
                "sampling": {"mode": "sequence"},
                "writer": {"normalise": "vocabulary"},
            },
            "predgen",
            "PredGen as printed",
            {"classification": {"director": {"kind": "class"}}, "regression": {"director": {"kind": "ordered"}}},
        ),
        # What the authors' code does instead.
        _method(
            "predgen-released",
            {"method": "predgen", "profile": "released"},
            "predgen",
            "PredGen as released",
        ),
        # None of the paper's: the director reads the prompt too, and trains the adapter alone.
        _method(
            "predgen-led",
            {"method": "predgen", "profile": "director_led"},
            None,
            "PredGen led by its director",
        ),
    )
}


def find_method(name: str) -> GridMethod:
    """A method by name.

    Raises:
        ConfigError: The message lists the known.
    """
    if name not in METHODS:
        raise ConfigError(f"Unknown method {name!r}:", nearest(name, METHODS))
    return METHODS[name]
