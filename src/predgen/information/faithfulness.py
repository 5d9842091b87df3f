"""Is a map true to the model? Words are taken away, and put back, in the map's order and in random ones.

The change is what the answer has moved by: the drop of the predicted label's probability, or the distance of the
expected value (or a head's number) from that of the whole text. Deletion takes the highest ranked words first, and a
true map makes the change rise early; insertion starts with no word and gives them back, and it falls early. Both areas
are set beside that of random orders; taking away in a random order and giving back in one are the same curve read both
ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from predgen.answers.spaces import LabelSet
from predgen.information.answers import Said, said_under
from predgen.information.token_map import Column, Prompted, TokenMap
from predgen.information.words import Word
from predgen.run import Run

Floats = NDArray[np.float64]
_POINTS = 8  # shares of the words, besides none
_ORDERS = 5  # random ones


@dataclass(frozen=True)
class Faithfulness:
    """Curves of one map.

    Args:
        unit: Of the change.
        shares: Shares of the words that are gone (deletion), or back (insertion), from 0 to 1.
        deletion: The change at each share, the map's highest words gone first.
        insertion: The change at each share, the map's highest words back first.
        random: The change with that share gone, mean of random orders.
        random_areas: Area under each random order's curve.
    """

    unit: str
    shares: list[float]
    deletion: list[float]
    insertion: list[float]
    random: list[float]
    random_areas: list[float]

    @property
    def deletion_area(self) -> float:
        """Area under the deletion curve; above the random ones' where the map is true."""
        return _area(self.shares, self.deletion)

    @property
    def insertion_area(self) -> float:
        """Area under the insertion curve; below the random ones' where the map is true."""
        return _area(self.shares, self.insertion)

    def line(self) -> str:
        """All of it in one line."""
        low, high = min(self.random_areas), max(self.random_areas)
        return (
            f"Faithfulness (area under the change of {self.unit}): deletion {self.deletion_area:.3f}, insertion "
            f"{self.insertion_area:.3f}, {len(self.random_areas)} random orders {np.mean(self.random_areas):.3f} "
            f"({low:.3f} to {high:.3f}). True to the model: deletion above random, insertion below."
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON form, its keys the fields' names, and the areas."""
        return {**asdict(self), "deletion_area": self.deletion_area, "insertion_area": self.insertion_area}


def faithfulness(
    run: Run, prompted: Prompted, made: TokenMap, column: Column | None = None, seed: int = 0
) -> Faithfulness:
    """Measures a column of a map.

    Args:
        run: The run that was explained.
        prompted: The prompt.
        made: Its map; a word of a piece ranks by its share of the piece's number.
        column: Ranks the words: by size, or where it is signed by how much they speak for the answer it is of. None:
            the map's main one.
        seed: Of the random orders.

    Raises:
        ConfigError: As `check_explainable` has it.
    """
    column = column or made.main
    # For a number either direction moves it; for an option only what speaks for it keeps it up.
    for_an_option = column.signed and isinstance(run.space, LabelSet)
    scores = np.array(column.values) if for_an_option else np.abs(column.values)
    scores = np.repeat(scores / np.array(made.sizes), made.sizes)
    words = prompted.words
    best_first = np.argsort(-scores, kind="stable")
    draw = np.random.default_rng(seed)
    orders = [draw.permutation(len(words)) for _ in range(_ORDERS)]
    counts = sorted({round(share * len(words)) for share in np.linspace(0, 1, _POINTS + 1)})
    gone = [best_first[:count] for count in counts]
    gone += [best_first[count:] for count in counts]
    gone += [order[:count] for order in orders for count in counts]
    masks = torch.stack([_without(len(prompted.ids), words, chosen) for chosen in gone])
    changes, unit = _changes(run, said_under(run, prompted.ids, masks))
    points = len(counts)
    rows = changes.reshape(-1, points)
    shares = [count / len(words) for count in counts]
    return Faithfulness(
        unit=unit,
        shares=shares,
        deletion=rows[0].tolist(),
        insertion=rows[1].tolist(),
        random=rows[2:].mean(axis=0).tolist(),
        random_areas=[_area(shares, row.tolist()) for row in rows[2:]],
    )


def _without(length: int, words: Sequence[Word], gone: NDArray[np.int64]) -> torch.Tensor:
    mask = torch.ones(length, dtype=torch.long)
    for place in gone:
        mask[words[place].start : words[place].stop] = 0
    return mask


def _changes(run: Run, said: Said) -> tuple[Floats, str]:
    """Against the first, in which nothing is gone."""
    if isinstance(run.space, LabelSet):
        assert said.log_probs is not None
        best = int(said.log_probs[0].argmax())
        kept = np.exp(said.log_probs[:, best])
        return kept[0] - kept, f"p({run.space.labels[best]})"
    assert said.value is not None
    return np.abs(said.value - said.value[0]), "the number"


def _area(shares: Sequence[float], heights: Sequence[float]) -> float:
    return float(np.trapezoid(heights, shares))
