"""How figures of several seeds are shown."""

from __future__ import annotations

import statistics


def spread(values: list[float]) -> str:
    """The mean and, of several, half the range: "0.508 ± 0.012"."""
    half = (max(values) - min(values)) / 2
    return f"{statistics.mean(values):.3f}" + (f" ± {half:.3f}" if len(values) > 1 else "")
