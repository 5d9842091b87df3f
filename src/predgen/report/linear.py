"""What a linear model on TF-IDF reaches, fitted in seconds on the same training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from predgen.answers.spaces import LabelSet, Numbers, Space
from predgen.evaluation import Targets
from predgen.report.answered import Predicted
from predgen.report.types import Floats

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)  # of regularisation; the dev rows choose
NAME = "TF-IDF + linear"
MOST_ROWS = 50_000  # to fit on; more would take minutes


class Labelled(NamedTuple):
    """Texts and their targets."""

    bodies: Sequence[str]
    targets: Targets


@dataclass(frozen=True)
class Linear:
    """A fitted baseline.

    Args:
        predicted: What it says of the rows that the run is judged on.
        dev: The same of the dev rows, where there are any.
        note: What it is, in a sentence.
    """

    predicted: Predicted
    dev: Predicted | None
    note: str


def fit_linear(space: Space, bodies: Sequence[str], train: Labelled, dev: Labelled | None, seed: int) -> Linear | str:
    """Words and pairs of words, weighted; logistic or ridge regression.

    Its strength of regularisation is the best of `STRENGTHS` on the dev rows, on which the run was selected as well.

    Args:
        space: The answers.
        bodies: The texts to predict.
        train: What the run was trained on.
        dev: What it was selected on.
        seed: Of the solver, and of the choice of rows where there are more than `MOST_ROWS`.

    Returns:
        The baseline, or why there is none.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    train, left_out = _sampled(train, seed)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, strip_accents="unicode")
    try:
        known = vectorizer.fit_transform(train.bodies)
    except ValueError:
        return "The training texts have no words that could be counted."
    new = vectorizer.transform(bodies)
    held_out = None if dev is None else (vectorizer.transform(dev.bodies), dev.targets)
    if isinstance(space, LabelSet):
        kind, found = "logistic regression", _labels(space, known, train.targets, held_out, new, seed)
    else:
        kind, found = "ridge regression", _numbers(space, known, train.targets, held_out, new)
    if found is None:
        return "The training rows have a single label."
    chosen = "chosen on the dev rows" if dev is not None else "not tuned, since no dev rows are at hand"
    same = f"the same {known.shape[0]:,} training rows"
    if left_out:
        same = f"a seeded {known.shape[0]:,} of the training rows"
    note = (
        f"{NAME}: {kind} on TF-IDF of words and pairs of words ({known.shape[1]:,} features), fitted on {same}; "
        f"strength of regularisation {found.strength:g}, {chosen}."
    )
    return Linear(found.new, found.dev, note)


def _sampled(train: Labelled, seed: int) -> tuple[Labelled, int]:
    if len(train.bodies) <= MOST_ROWS:
        return train, 0
    kept = sorted(np.random.default_rng(seed).permutation(len(train.bodies))[:MOST_ROWS].tolist())
    targets: Any = [train.targets[place] for place in kept]
    return Labelled([train.bodies[place] for place in kept], targets), len(train.bodies) - len(kept)


class _Found(NamedTuple):
    new: Predicted
    dev: Predicted | None
    strength: float


def _labels(
    space: LabelSet, known: Any, targets: Targets, held_out: tuple[Any, Targets] | None, new: Any, seed: int
) -> _Found | None:
    from sklearn.linear_model import LogisticRegression

    gold = np.array([space.index(target) for target in targets])
    if len(set(gold.tolist())) < 2:
        return None

    def fitted(strength: float) -> Any:
        return LogisticRegression(C=1.0 / strength, max_iter=1000, random_state=seed).fit(known, gold)

    def say(model: Any, rows: Any) -> tuple[Predicted, Floats]:
        probabilities: Floats = np.zeros((rows.shape[0], len(space.labels)))
        probabilities[:, model.classes_] = model.predict_proba(rows)
        return Predicted(labels=probabilities.argmax(axis=1), probabilities=probabilities), probabilities

    if held_out is None:
        return _Found(say(fitted(1.0), new)[0], None, 1.0)
    wanted = np.array([space.index(target) for target in held_out[1]])
    models = {strength: fitted(strength) for strength in STRENGTHS}
    # Accuracies of small dev sets tie; the log loss tells them apart.
    losses = {
        strength: -np.log(np.clip(say(model, held_out[0])[1][np.arange(len(wanted)), wanted], 1e-12, 1)).mean()
        for strength, model in models.items()
    }
    best = min(losses, key=losses.__getitem__)
    return _Found(say(models[best], new)[0], say(models[best], held_out[0])[0], best)


def _numbers(space: Numbers, known: Any, targets: Targets, held_out: tuple[Any, Targets] | None, new: Any) -> _Found:
    from sklearn.linear_model import Ridge

    numbers = np.array([float(target) for target in targets])

    def say(model: Any, rows: Any) -> Floats:
        return np.asarray(space.admit(model.predict(rows)), dtype=np.float64)

    if held_out is None:
        return _Found(Predicted(values=say(Ridge(alpha=1.0).fit(known, numbers), new)), None, 1.0)
    wanted = np.array([float(target) for target in held_out[1]])
    models = {strength: Ridge(alpha=strength).fit(known, numbers) for strength in STRENGTHS}
    losses = {strength: np.abs(say(model, held_out[0]) - wanted).mean() for strength, model in models.items()}
    best = min(losses, key=losses.__getitem__)
    return _Found(Predicted(values=say(models[best], new)), Predicted(values=say(models[best], held_out[0])), best)
