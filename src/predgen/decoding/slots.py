"""Yes or no for each of several labels → which labels a row has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from predgen.answers.spaces import LabelSet
from predgen.data.columns import NO, YES
from predgen.decoding.decide import Floats, class_decisions
from predgen.model.outputs import Scores

YES_OR_NO = LabelSet((YES, NO))


def decide_slots(
    scores: Sequence[Scores], reader_names: Sequence[str | None], decision: str
) -> tuple[NDArray[np.bool_], Floats]:
    """Decides N rows.

    Args:
        scores: Of K labels, each over `YES_OR_NO`.
        reader_names: What each label's method calls its director or head.
        decision: The decision, the same for all labels.

    Returns:
        (N, K) whether a row has a label, and (N, K) how probable that is.
    """
    decided = [
        class_decisions(part, YES_OR_NO, reader)[decision] for part, reader in zip(scores, reader_names, strict=True)
    ]
    yes = YES_OR_NO.index(YES)
    return (
        np.stack([each.chosen == yes for each in decided], axis=1),
        np.stack([each.probabilities[:, yes] for each in decided], axis=1),
    )
