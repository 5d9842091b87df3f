"""The probe bound: H(Y) minus the held-out cross-entropy of a simple decoder, I(A; Y) ≥ H(Y) − CE.

It says how much of what is there a linear decoder can use, never more than is there. Classes: multinomial logistic
regression. Numbers: ridge regression of the normal scores, with a normal error whose covariance is measured on rows
that the regression has not seen. Both choose their penalty on validation rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from predgen.information.targets import Target

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # inverse strengths of the logistic regression
_RIDGES = (1e-1, 1.0, 1e1, 1e2, 1e3, 1e4)


def probe_rows(a: Floats, target: Target, fit_rows: Integers, held_out: Integers, seed: int) -> Floats:
    """Returns log q(y | a) − log p(y) of each held-out row, in nats; their mean is the bound.

    Args:
        a: (N, d), standardised.
        target: N targets.
        fit_rows: The decoder is fitted on four fifths of them; the others choose its penalty.
        held_out: n rows.
        seed: Draws the fifth.

    Returns:
        (n,).
    """
    order = np.random.default_rng(seed).permutation(fit_rows)
    cut = max(2, len(order) // 5)
    if target.codes is not None:
        return _classes(a, target.codes, target.classes, order[cut:], order[:cut], held_out)
    assert target.values is not None
    return _numbers(a, target.values, order[cut:], order[:cut], held_out)


def _classes(
    a: Floats, codes: Integers, classes: int, training: Integers, validation: Integers, held_out: Integers
) -> Floats:
    from sklearn.linear_model import LogisticRegression

    counts = np.bincount(codes[held_out], minlength=classes)
    marginal = np.log(np.maximum(counts, 1) / counts.sum())
    if len(np.unique(codes[training])) < 2:
        return np.zeros(len(held_out))
    best: tuple[float, Floats] | None = None
    for penalty in _PENALTIES:
        model = LogisticRegression(C=penalty, max_iter=300).fit(a[training], codes[training])
        chosen, said = (_log_probabilities(model, a[rows], classes, len(training)) for rows in (validation, held_out))
        loss = -float(chosen[np.arange(len(validation)), codes[validation]].mean())
        if best is None or loss < best[0]:
            best = loss, said
    assert best is not None
    own = codes[held_out]
    rows: Floats = best[1][np.arange(len(own)), own] - marginal[own]
    return rows


def _log_probabilities(model: object, a: Floats, classes: int, rows: int) -> Floats:
    """(n, K); a class that the fitting rows lack, or that is ruled out, keeps the chance of one row in all."""
    said = np.zeros((len(a), classes))
    said[:, model.classes_] = model.predict_proba(a)  # type: ignore[attr-defined]
    share = classes / (rows + classes)
    mixed: Floats = np.log((1 - share) * said + share / classes)
    return mixed


def _numbers(a: Floats, values: Floats, training: Integers, validation: Integers, held_out: Integers) -> Floats:
    from sklearn.covariance import ledoit_wolf
    from sklearn.linear_model import Ridge

    best: tuple[float, Floats, Floats] | None = None
    for penalty in _RIDGES:
        model = Ridge(alpha=penalty).fit(a[training], values[training])
        residuals = values[validation] - model.predict(a[validation]).reshape(len(validation), -1)
        loss = float(np.square(residuals).mean())
        if best is None or loss < best[0]:
            predicted = model.predict(a[held_out]).reshape(len(held_out), -1)
            best = loss, residuals, predicted
    assert best is not None
    _, residuals, predicted = best
    wide = values.shape[1]
    # Shrunk (Ledoit & Wolf 2004): of many numbers the plain one is too sure of itself.
    covariance = ledoit_wolf(residuals, assume_centered=True)[0] + 1e-9 * np.eye(wide)
    off = values[held_out] - predicted
    inverse, log_determinant = np.linalg.inv(covariance), np.linalg.slogdet(covariance)[1]
    conditional = -0.5 * (np.einsum("ni,ij,nj->n", off, inverse, off) + log_determinant)
    # Both densities lack the same constant, (2π)^(−q/2). Numbers that say something of each other do so without a, too.
    together = ledoit_wolf(values[training], assume_centered=True)[0]
    spread = np.sqrt(np.diag(together))
    together = together / np.outer(spread, spread)  # normal scores have a variance of 1
    apart = np.einsum("ni,ij,nj->n", values[held_out], np.linalg.inv(together), values[held_out])
    marginal = -0.5 * (apart + np.linalg.slogdet(together)[1])
    rows: Floats = conditional - marginal
    return rows
