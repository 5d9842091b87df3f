"""Which words decided a few answers: maps by occlusion."""

from __future__ import annotations

import numpy as np

from predgen.errors import ConfigError, DataError
from predgen.information.one_answer import one_answer
from predgen.information.token_map import TokenMap, explain, prompt_of
from predgen.report.answered import Answered
from predgen.report.blocks import Block, Notice, Section, Table, Word, WordMap
from predgen.report.field import Field
from predgen.report.material import Material
from predgen.report.text import MOST, number, shown
from predgen.run import Run

_LONGEST = 80  # words of a text that is explained; each costs a pass


def words_section(field: Field, material: Material) -> Section:
    """A right and sure row, the worst one, and some between."""
    title = "Which words decided"
    if material.maps < 1:
        return Section(title, [Notice("No rows were asked to be explained (--maps).", "Not shown")])
    blocks: list[Block] = []
    name = None if isinstance(material.run, Run) else list(material.run.parts)[field.place]
    run = one_answer(material.run, name).run
    for kind, place in _chosen(field.answers, material):
        row = material.judged.rows.rows[place]
        try:
            made = explain(run, row, "occlusion", prompt_of(run, row))
        except DataError:
            continue  # this row has fewer than two words in the model's eyes
        except ConfigError as problem:
            return Section(title, [Notice(str(problem), "Not shown")])
        pairs = [*field.answers.told(place), ("row", f"{material.judged.rows.numbers[place]}")]
        blocks.append(_map(made, kind, pairs))
    lead = (
        "Each word's share in the answer: what changes when it is left out (predgen explain). Orange speaks for the "
        "answer or raises the number, blue against it or lowers it; each text has a scale of its own."
    )
    if not blocks:
        why = f"No text has between 2 and {_LONGEST} words and at most {MOST} characters."
        return Section(title, [Notice(why, "Not shown")])
    return Section(title, blocks, lead)


def _chosen(answers: Answered, material: Material) -> list[tuple[str, int]]:
    """Why and which rows: the best, the worst, and evenly spaced ones between, among texts that are not too long."""
    good = answers.of_rows(answers.predicted)
    badness = (1.0 - good) if answers.is_share else good
    confidence = answers.confidence
    if confidence is not None and answers.is_share:
        badness = np.where(badness > 0, 1.0 + confidence, 1.0 - confidence)
    bodies = material.judged.rows.bodies
    fitting = [place for place in np.argsort(badness, kind="stable") if _suits(bodies[place])]
    wanted = min(material.maps, len(fitting))
    if not wanted:
        return []
    places = np.unique(np.linspace(0, len(fitting) - 1, wanted).round().astype(int))
    named = []
    for at in places:
        place = int(fitting[at])
        kind = "among the best" if at == 0 else "among the worst" if at == len(fitting) - 1 else "in between"
        named.append((kind, place))
    return named


def _suits(body: str) -> bool:
    return len(body) <= MOST and 2 <= len(body.split()) <= _LONGEST


def _map(made: TokenMap, kind: str, pairs: list[tuple[str, str]]) -> WordMap:
    column = made.main
    largest = max((abs(value) for value in column.values), default=0.0) or 1.0
    words = [
        Word(shown(word.text, MOST), min(1.0, abs(value) / largest), value < 0, number(value))
        for word, value in zip(made.words, column.values, strict=True)
    ]
    order = sorted(range(len(words)), key=lambda place: -abs(column.values[place]))[:8]
    rows = [(words[place].text.strip(), words[place].value) for place in order]
    unit = f"{column.name} ({column.unit})"
    table = Table("The strongest words", ("word", unit), rows, folded=True)
    return WordMap(f"{kind[0].upper()}{kind[1:]}", pairs, words, table)
