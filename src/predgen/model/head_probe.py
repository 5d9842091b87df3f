"""A head's linear layer, fitted to states that stand still: ridge or logistic regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from predgen.config import Task

Array = NDArray[Any]

# How strongly weights are held down, from most to least: λ of λ · ‖W‖² beside a mean loss.
HEAD_STRENGTHS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
_NEVER = -20.0  # the logit of a class that no row has, beside logits of some units


def fit_heads(features: Tensor, target: Tensor, weight: Tensor, task: Task, outputs: int) -> list[Tensor]:
    """Heads on all rows, one for each of `HEAD_STRENGTHS`.

    Args:
        features: (N, d); what the linear layer reads.
        target: (N,) standardised numbers, or class indices.
        weight: (N,); what each row counts, 1 on average.
        task: Squared error, or cross-entropy.
        outputs: K classes; 1 for numbers.

    Returns:
        (K, d + 1) each: the layer's weights, and its bias in the last column.
    """
    fit = _ridge if task == "regression" else _logistic
    arrays = (features.double().cpu().numpy(), target.cpu().numpy(), weight.double().cpu().numpy())
    return [fit(*arrays, strength, outputs).to(features) for strength in HEAD_STRENGTHS]


def _ridge(features: Array, target: Array, weight: Array, strength: float, outputs: int) -> Tensor:
    from sklearn.linear_model import Ridge

    made = Ridge(alpha=strength * len(features))  # its squared errors are summed
    made.fit(features, target, weight)
    return torch.as_tensor(np.append(made.coef_, made.intercept_))[None]


def _logistic(features: Array, target: Array, weight: Array, strength: float, outputs: int) -> Tensor:
    from sklearn.linear_model import LogisticRegression

    whole = torch.zeros(outputs, features.shape[1] + 1, dtype=torch.float64)
    whole[:, -1] = _NEVER
    there = np.unique(target)
    if len(there) == 1:  # of which no head can be fitted, and which needs none
        whole[there, -1] = 0.0
        return whole
    made = LogisticRegression(C=1 / (2 * strength * len(features)), max_iter=1000)  # ½‖W‖² beside C times the sum
    made.fit(features, target, weight)
    found = torch.cat([torch.as_tensor(made.coef_), torch.as_tensor(made.intercept_)[:, None]], dim=1)
    if len(there) == 2:  # of two classes there is one row, the second's over the first's
        found = torch.cat([-found / 2, found / 2])
    whole[there] = found
    return whole
