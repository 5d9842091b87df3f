"""Single rows: the worst errors, and targets that are likely mistakes themselves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from predgen.decoding.options import PredictOptions
from predgen.report.answered import Answered, AnsweredLabels, AnsweredNumbers, Predicted, answered
from predgen.report.blocks import Block, Case, Cases, Notice, Paragraph, Section
from predgen.report.field import Field
from predgen.report.linear import NAME, Linear
from predgen.report.material import PART_NAMES, Material, Rows
from predgen.report.text import count, percent, shown
from predgen.report.types import Floats

MOST = 10  # rows of each kind
MANY = 0.1  # share of contradicted targets above which the run itself is to be doubted
_FAR = 3.0  # posterior's standard deviations


class _Looked(NamedTuple):
    """Rows that were never trained on, with their answers."""

    part: str
    rows: Rows
    answers: Answered
    linear: Predicted | None


def worst_section(field: Field, material: Material) -> Section:
    """The rows that are furthest off; of labels, those that are wrong with most confidence."""
    looked = _judged(field, material)
    answers = looked.answers
    bad = 1.0 - answers.of_rows(answers.predicted) if answers.is_share else answers.of_rows(answers.predicted)
    wrong = np.flatnonzero(bad > 0)
    if not len(wrong):
        return Section("The worst errors", [Paragraph("No row is wrong.")])
    weight: Floats = bad[wrong]
    if isinstance(answers, AnsweredLabels):
        weight = answers.confidence[wrong]
    order = wrong[np.argsort(-weight, kind="stable")][:MOST]
    lead = f"{count(len(wrong), 'row')} of {len(answers):,} wrong; those of most confidence first."
    if not answers.is_share:
        lead = "The rows that are furthest off."
    return Section("The worst errors", [Cases([_case(looked, int(place)) for place in order])], lead)


def mistakes_of_labels_section(field: Field, material: Material) -> Section:
    """Targets that the run contradicts with confidence, on judged and dev rows.

    Labels: as in confident learning (Northcutt et al. 2021), the row's own label is less probable than it is on average
    among rows with it, and another is at least as probable as that one is on average among its own. Numbers: more than
    three of the posterior's standard deviations off, and outside the 95% interval.
    """
    title = "Likely label mistakes"
    looked = [_judged(field, material)]
    dev = material.parts.get("dev")
    if material.dev_scores is not None and dev is not None:
        scores = material.dev_scores[field.place]
        answers = answered(field.answers.run, scores, scores, dev.truth[field.place])
        on_dev = field.linear.dev if isinstance(field.linear, Linear) else None
        looked.append(_Looked("dev", dev, answers, on_dev))
    found = list[tuple[float, Case]]()
    for each in looked:
        suspicion = _suspicion(each.answers)
        if suspicion is None:
            why = "The run gives a number and no distribution: how far off a row is says nothing of its target alone."
            return Section(title, [Notice(why, "Not shown")])
        found += [(float(suspicion[place]), _case(each, int(place))) for place in np.flatnonzero(suspicion > 0)]
    found.sort(key=lambda pair: -pair[0])
    rows = sum(len(each.answers) for each in looked)
    where = " and ".join(f"{len(each.answers):,} {PART_NAMES.get(each.part, each.part)}" for each in looked)
    if not found:
        return Section(title, [Paragraph(f"None was found among {where} rows.")])
    lead = (
        f"{count(len(found), 'target')} of {rows:,} ({where} rows) that the run contradicts with confidence. Look at "
        "them before blaming the model; it may still be wrong."
    )
    blocks: list[Block] = [Cases([case for _, case in found[:MOST]])]
    if len(found) > MANY * rows:
        why = f"More than {percent(MANY)} of the targets are contradicted: that says more of the run than of them."
        blocks.insert(0, Notice(why, "So many"))
    return Section(title, blocks, lead)


def _judged(field: Field, material: Material) -> _Looked:
    linear = field.linear.predicted if isinstance(field.linear, Linear) else None
    return _Looked(material.judged.name, material.judged.rows, field.answers, linear)


def _suspicion(answers: Answered) -> Floats | None:
    """(N,) above 0 for likely mistakes, more for likelier ones; None where nothing can be said."""
    if isinstance(answers, AnsweredLabels):
        return suspicious_labels(answers.probabilities, answers.gold)
    assert isinstance(answers, AnsweredNumbers)
    deviation = answers.deviation
    if deviation is None:
        return None
    far: Floats = answers.of_rows(answers.predicted) / deviation
    low, high = answers.run.intervals(answers.scores, answers.values, PredictOptions(level=0.95))
    outside = (answers.wanted < low) | (answers.wanted > high)
    return np.where((far > _FAR) & outside, far, 0.0)


def suspicious_labels(probabilities: Floats, gold: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
    """(N,) how much more probable another label is, where confident learning doubts the row's own; else 0.

    Args:
        probabilities: (N, K).
        gold: (N,) given labels.
    """
    rows, labels = probabilities.shape
    # A label's threshold: its mean probability among the rows that have it. What no row has is never confident.
    usual = np.array([probabilities[gold == k, k].mean() if (gold == k).any() else np.inf for k in range(labels)])
    confident = np.where(probabilities >= usual, probabilities, -1.0)
    confident[np.arange(rows), gold] = -1.0
    other, own = confident.max(axis=1), probabilities[np.arange(rows), gold]
    doubted = (other > own) & (own < usual[gold])
    return np.where(doubted, other - own, 0.0)


def _case(looked: _Looked, place: int) -> Case:
    pairs: list[tuple[str, str]] = [*looked.answers.told(place)]
    if looked.linear is not None:
        pairs.append((NAME, looked.answers.spell(looked.linear, place)))
    part = PART_NAMES.get(looked.part, looked.part)
    pairs.append(("row", f"{looked.rows.numbers[place]} of {part}"))
    return Case(shown(looked.rows.bodies[place]), pairs, _flag(looked, place))


def _flag(looked: _Looked, place: int) -> str:
    """Whether a linear model, fitted apart, is of the run's opinion."""
    if looked.linear is None or not isinstance(looked.answers, AnsweredLabels):
        return ""
    assert looked.linear.labels is not None
    if looked.answers.gold[place] == looked.answers.chosen[place]:
        return ""
    return "TF-IDF agrees with the run" if looked.linear.labels[place] == looked.answers.chosen[place] else ""
