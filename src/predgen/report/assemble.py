"""Material → page: which sections there are, and in what order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from predgen import __version__
from predgen.evaluation import Evaluation, RecordEvaluation
from predgen.metrics import METRICS
from predgen.report.answered import Answered, names_of
from predgen.report.blocks import Chapter, Notice, Page, Section, Tile
from predgen.report.field import Field, make_field
from predgen.report.linear import NAME, Linear
from predgen.report.material import PART_NAMES, Material
from predgen.report.sections.confidence import confidence_section
from predgen.report.sections.data import data_section
from predgen.report.sections.learning import learning_section
from predgen.report.sections.mistakes import mistakes_section
from predgen.report.sections.quality import quality_section, verdict
from predgen.report.sections.reliability import reliability_section
from predgen.report.sections.reproduce import reproduce_section
from predgen.report.sections.slices import slices_section
from predgen.report.sections.speed import speed_section
from predgen.report.sections.together import said_of_whole, together_section, whole_metric
from predgen.report.sections.training import training_section
from predgen.report.sections.words import words_section
from predgen.report.sections.worst import mistakes_of_labels_section, worst_section
from predgen.report.text import between, count, fixed, percent, shown

MOST_FIELDS = 8  # with sections of their own; a hundred labels would make a book


def assemble(material: Material, command: str, say: Callable[[str], None]) -> Page:
    """Makes all sections.

    Args:
        material: What they are made of.
        command: How the report was asked for.
        say: Takes one line at a time.
    """
    evaluation, judged = material.judged.evaluation, material.judged
    fields = [make_field(material, place, say) for place in range(len(material.run.parts))]
    notices = [Notice(judged.note, "Judged on dev rows")] if judged.name == "dev" else []
    opening = [training_section(material), data_section(material), learning_section(material)]
    if isinstance(evaluation, RecordEvaluation):
        whole = whole_metric(material)
        lines = [said_of_whole(evaluation.metric, whole, len(judged.rows))]
        tiles = [Tile(_metric_name(evaluation.metric), fixed(whole.value), between(whole.low, whole.high))]
        for field in fields[:4]:
            own = field.resampled.interval(field.run, field.metric)
            tiles.append(
                Tile(f"{field.title}: {_metric_name(field.metric)}", fixed(own.value), between(own.low, own.high))
            )
        chapters = [Chapter("The run", [*opening, together_section(material, evaluation, fields, whole)])]
        for field in fields[:MOST_FIELDS]:
            say(f"Sections of {field.answers.name}.")
            own_evaluation = evaluation.fields[field.answers.name]
            chapters.append(Chapter(field.title, _of_field(field, own_evaluation, material)))
        if len(fields) > MOST_FIELDS:
            limit = f"The first {MOST_FIELDS} of {len(fields)} answers have sections of their own; the table has all."
            notices.append(Notice(limit, "Not everything is shown"))
    else:
        (field,) = fields
        lines, tiles = verdict(field), _tiles(field, evaluation)
        chapters = [Chapter("", [*opening, *_of_field(field, evaluation, material)])]
    say("Speed, environment.")
    closing = [speed_section(material), reproduce_section(material, command)]
    if chapters[0].title:
        chapters.append(Chapter("Speed and environment", closing))
    else:
        chapters = [Chapter("", [*chapters[0].sections, *closing])]
    record = material.record
    where = "new" if judged.name == "new" else PART_NAMES[judged.name]
    subtitle = (
        f"{material.run.method_name} on {record.base['name']}, judged on {count(len(judged.rows), f'{where} row')} of "
        f"{shown(judged.rows.source, 120)}"
    )
    answers: list[Answered] = [field.answers for field in fields]
    made = f"Made on {datetime.now().astimezone():%Y-%m-%d %H:%M %Z} by predgen {__version__}"
    return Page(f"Predicting {names_of(answers)}", subtitle, lines, tiles, notices, chapters, made)


def _of_field(field: Field, evaluation: Evaluation, material: Material) -> list[Section]:
    resamples, seed = material.resamples, material.seed
    return [
        quality_section(field, evaluation, said_above=len(material.run.parts) == 1),
        mistakes_section(field, seed),
        reliability_section(field),
        confidence_section(field, resamples, seed),
        slices_section(field, material),
        worst_section(field, material),
        mistakes_of_labels_section(field, material),
        words_section(field, material),
    ]


def _tiles(field: Field, evaluation: Evaluation) -> list[Tile]:
    own = field.resampled.interval(field.run, field.metric)
    constant = field.resampled.interval(field.best_constant, field.metric)
    tiles = [
        Tile(_metric_name(field.metric), fixed(own.value), f"95%: {between(own.low, own.high)}"),
        Tile("best constant", fixed(constant.value), f"95%: {between(constant.low, constant.high)}"),
    ]
    if isinstance(field.linear, Linear):
        linear = field.resampled.interval(NAME, field.metric)
        tiles.append(Tile(NAME, fixed(linear.value), f"95%: {between(linear.low, linear.high)}"))
    if "coverage" in evaluation.interval:
        held = evaluation.interval
        size = f"{fixed(held['size'], 2)} labels a set" if "size" in held else f"mean width {fixed(held['width'], 2)}"
        tiles.append(
            Tile("90% sets hold" if "size" in held else "90% intervals hold", percent(held["coverage"], 1), size)
        )
    return tiles


def _metric_name(metric: str) -> str:
    title = METRICS[metric].title if metric in METRICS else metric
    return title.partition(":")[0]
