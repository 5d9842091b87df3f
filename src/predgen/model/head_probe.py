"""A head's linear layer, fitted to states that stand still: ridge or logistic regression."""

from __future__ import annotations

import torch
from torch import Tensor

from predgen.config import Task

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
    return [fit(features, target, weight, strength, outputs) for strength in HEAD_STRENGTHS]


def _ridge(features: Tensor, target: Tensor, weight: Tensor, strength: float, outputs: int) -> Tensor:
    from sklearn.linear_model import Ridge

    made = Ridge(alpha=strength * len(features))  # its squared errors are summed
    made.fit(features.double().cpu().numpy(), target.double().cpu().numpy(), weight.double().cpu().numpy())
    both = torch.cat([torch.as_tensor(made.coef_).view(-1), torch.as_tensor(made.intercept_).view(-1)])
    return both[None].to(features)


def _logistic(features: Tensor, target: Tensor, weight: Tensor, strength: float, outputs: int) -> Tensor:
    from sklearn.linear_model import LogisticRegression

    made = LogisticRegression(C=1 / (2 * strength * len(features)), max_iter=1000)  # ½‖W‖² beside C times the sum
    made.fit(features.double().cpu().numpy(), target.cpu().numpy(), weight.double().cpu().numpy())
    found = torch.cat([torch.as_tensor(made.coef_), torch.as_tensor(made.intercept_)[:, None]], dim=1)
    if len(made.classes_) == 2:  # of two classes there is one row, the second's over the first's
        found = torch.cat([-found / 2, found / 2])
    whole = torch.zeros(outputs, found.shape[1], dtype=found.dtype)
    whole[:, -1] = _NEVER
    whole[torch.as_tensor(made.classes_)] = found
    return whole.to(features)
