from __future__ import annotations

import numpy as np
import pytest

from predgen.metrics import classification_metrics
from predgen.report.counted import CountedLabels


@pytest.mark.parametrize(
    ("labels", "ordered"),
    [(("bad", "so", "good"), False), (("bad", "so", "good"), True), (("1", "2", "10"), False), (("no", "yes"), False)],
)
def test_counts_give_what_the_rows_give(labels: tuple[str, ...], ordered: bool) -> None:
    chance = np.random.default_rng(3)
    size, rows = len(labels), 60
    probabilities = chance.dirichlet(np.ones(size), rows)
    gold, chosen = chance.integers(0, size, rows), probabilities.argmax(axis=1)
    counted = CountedLabels(gold, chosen, probabilities, labels, ordered)
    names = np.array(labels, dtype=object)
    # Whole, resampled, and so few that labels are missing or alone.
    for drawn in (np.arange(rows), chance.integers(0, rows, rows), chance.integers(0, rows, 2), np.array([5])):
        wanted = classification_metrics(
            names[gold[drawn]].tolist(), names[chosen[drawn]].tolist(), probabilities[drawn], labels, ordered
        )
        assert counted(drawn) == pytest.approx(wanted, nan_ok=True, abs=1e-12)
