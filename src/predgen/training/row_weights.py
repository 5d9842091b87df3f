"""What each training row's loss counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from predgen.answers.spaces import LabelSet, Space
from predgen.errors import ConfigError, nearest
from predgen.evaluation import Targets

ClassWeights = str | Mapping[str, float]


def row_weights(
    class_weights: ClassWeights, space: Space, targets: Targets, sample_weights: Sequence[float] | None
) -> list[float]:
    """Class weight times sample weight, scaled to mean 1, so that the learning rate keeps its meaning.

    Args:
        class_weights: "none"; "balanced": n / (K · n_k), as scikit-learn has it; or a weight a label.
        space: The answers.
        targets: n training targets.
        sample_weights: n non-negative numbers, or None for all alike.

    Raises:
        ConfigError: If classes are weighed where there are none, a label is unknown, or all weights are 0.
    """
    weights = np.array(sample_weights if sample_weights is not None else [1.0] * len(targets), dtype=float)
    if class_weights != "none":
        by_label = _by_label(class_weights, space, [str(target) for target in targets])
        weights = weights * np.array([by_label[str(target)] for target in targets])
    if not weights.sum() > 0:
        raise ConfigError(
            "All training rows weigh 0.", "At least one must count.", "See train.class_weights and data.weight."
        )
    scaled: list[float] = (weights / weights.mean()).tolist()
    return scaled


def _by_label(class_weights: ClassWeights, space: Space, targets: Sequence[str]) -> dict[str, float]:
    if not isinstance(space, LabelSet):
        raise ConfigError("train.class_weights was set, but the target is a number.", remedy="Leave it at none.")
    if isinstance(class_weights, str):
        counts = Counter(targets)
        return {label: len(targets) / (len(counts) * count) for label, count in counts.items()}
    for label in class_weights:
        if label not in space.labels:
            raise ConfigError(f"train.class_weights names the unknown label {label!r}:", nearest(label, space.labels))
    return {label: float(class_weights.get(label, 1.0)) for label in space.labels}
