"""What the training log tells, panel by panel, for whatever draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from predgen.metrics import METRICS, chosen_over

Records = Sequence[Mapping[str, Any]]
Points = tuple[list[int], list[float]]  # steps and values


class Panel(NamedTuple):
    """Curves that share an axis."""

    kind: str  # "writer", "director", "dev" or "sampling"
    title: str
    curves: dict[str, Points]


def learning_panels(records: Records) -> list[Panel]:
    """Writer loss, director loss on gold and own histories, dev metric by decision, sampling probability.

    Args:
        records: The lines of metrics.jsonl.

    Returns:
        The panels that have data, and in them the curves that have.
    """
    train = [record for record in records if record["event"] == "train"]
    dev = [record for record in records if record["event"] == "dev"]
    metric = METRICS[dev[0]["metric"]].title if dev else ""
    directors = {
        "gold history": _curve(train, "director_loss_gold"),
        "own history": _curve(train, "director_loss_own"),
    }
    panels = [
        Panel("writer", "writer loss (nats a token)", {"": _curve(train, "writer_loss")}),
        Panel("director", "director loss", directors),
        Panel("dev", f"dev {metric}", _dev_curves(dev)),
        Panel("sampling", "sampling probability", {"": _curve(train, "sampling_probability")}),
    ]
    shown = [panel._replace(curves={name: c for name, c in panel.curves.items() if c[0]}) for panel in panels]
    return [panel for panel in shown if panel.curves]


def best_dev(records: Records) -> Mapping[str, Any] | None:
    """The dev record that was chosen (see `preferred`); None where none has a value."""
    best = None
    for record in records:
        if record["event"] != "dev" or record["value"] is None:
            continue
        if best is None or preferred(record, best):
            best = record
    return best


def preferred(record: Mapping[str, Any], than: Mapping[str, Any]) -> bool:
    """Whether one dev record is chosen over an earlier one, by their decisions' metrics (see `chosen_over`)."""
    values, others = (each["decisions"][each["decision"]] for each in (record, than))
    return chosen_over(record["metric"], values, others)


def _curve(records: Records, key: str) -> Points:
    points = [(record["step"], record[key]) for record in records if record.get(key) is not None]
    return [step for step, _ in points], [value for _, value in points]


def _dev_curves(dev: Records) -> dict[str, Points]:
    names = list(dev[0]["decisions"]) if dev else []
    return {
        name: _curve(
            [{"step": record["step"], "value": record["decisions"][name][record["metric"]]} for record in dev], "value"
        )
        for name in names
    }
