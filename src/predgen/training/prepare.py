"""Settings → rows ready to be encoded: what is read, what is predicted, and which rows are for what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from predgen.answers.infer import infer_space
from predgen.answers.spaces import Space
from predgen.config import DataConfig, FieldConfig, RunConfig
from predgen.data.checks import duplicates_across, overlaps, rounded_targets, strange_targets, unseen_labels
from predgen.data.columns import NO, YES, read_fields, read_solutions, read_weights
from predgen.data.objects import RowsInMemory
from predgen.data.options import Question, body_of
from predgen.data.schema import Schema, decide_schema
from predgen.data.sources import read_table
from predgen.data.splits import sample_rows, split_rows
from predgen.decoding.slots import YES_OR_NO
from predgen.errors import ConfigError, DataError
from predgen.evaluation import Targets

Say = Callable[[str], None]


@dataclass(frozen=True)
class Examples:
    """Rendered rows and their targets; N of each.

    Args:
        bodies: What the prompt shows of each row.
        targets: Of each field labels, or numbers.
        numbers: Each row's position in its source.
        source: Where the rows came from.
        fingerprint: Of that source.
        weights: What each row should count in training, where a column says so.
        solutions: What each row works out before its number, where a single answer's targets do.
    """

    bodies: list[str]
    targets: tuple[Targets, ...]
    numbers: list[int]
    source: str
    fingerprint: str
    weights: list[float] | None = None
    solutions: list[str] | None = None

    def __len__(self) -> int:
        return len(self.bodies)


@dataclass(frozen=True)
class Prepared:
    """All rows of a run, and what was decided about them; one space a field of the schema."""

    schema: Schema
    spaces: tuple[Space, ...]
    train: Examples
    dev: Examples
    test: Examples


@dataclass(frozen=True)
class GivenRows:
    """Rows that are handed over instead of being named in the settings; each as `table_of` takes them.

    Args:
        source: What to fit on, and to take dev and test rows from where there are none of their own.
        dev: To select on.
        eval: To report on.
    """

    source: RowsInMemory | None = None
    dev: RowsInMemory | None = None
    eval: RowsInMemory | None = None


def prepare(config: RunConfig, say: Say, given: GivenRows | None = None) -> Prepared:
    """Reads, decides, splits, renders; says each decision with its reason.

    Args:
        config: The settings; `data.source` must be set unless rows are given.
        say: Takes one line at a time.
        given: Rows in memory, which win over the sources that the settings name.

    Raises:
        ConfigError: If there is no source, or no dev rows to select on.
        DataError: If rows, columns or targets cannot be used.
        AnswerError: If no space fits the targets.
    """
    given = given or GivenRows()
    source, dev, test = (
        named if rows is None else rows
        for named, rows in (
            (config.data.source, given.source),
            (config.data.dev, given.dev),
            (config.data.eval, given.eval),
        )
    )
    if source is None:
        raise ConfigError("No data was named.", "Expected a file or a name that `predgen data` lists.")
    table = read_table(source, limit=config.data.max_rows, root=config.data.root)
    for note in table.notes:
        say(note)
    kept = sample_rows(len(table.good_rows), config.data.max_rows, config.data.split_seed)
    rows = [table.good_rows[number] for number in kept]
    schema = decide_schema(table, config)
    for reason in schema.reasons:
        say(reason)
    targets = read_fields(rows, schema.fields)
    marker = schema.fields[0].marker
    solutions = None if marker is None else read_solutions(rows, schema.fields[0].column, marker)

    weights = read_weights(rows, schema.weight) if schema.weight is not None else None
    by_class = schema.kind == "single" and schema.fields[0].task == "classification"
    split = split_rows(
        [str(target) for target in targets[0]] if by_class else None,
        len(rows),
        config.data.train_size,
        config.data.dev_size if dev is None else 0,
        config.data.test_size if test is None else 0,
        config.data.split_seed,
    )

    spaces = _infer_spaces(schema, targets, split.train, config, say)

    def part(chosen: Sequence[int]) -> Examples:
        return Examples(
            bodies=[body_of(schema.template, rows[position], schema.options, kept[position]) for position in chosen],
            targets=tuple(_chosen(column, chosen) for column in targets),
            numbers=[kept[position] for position in chosen],
            source=table.name,
            fingerprint=table.fingerprint,
            weights=None if weights is None else [weights[position] for position in chosen],
            solutions=None if solutions is None else [solutions[position] for position in chosen],
        )

    prepared = Prepared(
        schema=schema,
        spaces=spaces,
        train=part(split.train),
        dev=part(split.dev) if dev is None else _read_examples(dev, schema, config.data, config.data.dev_max_rows, say),
        test=part(split.test)
        if test is None
        else _read_examples(test, schema, config.data, config.data.eval_max_rows, say),
    )
    if not len(prepared.train) or not len(prepared.dev):
        raise ConfigError(
            f"There are {len(prepared.train)} training and {len(prepared.dev)} dev rows.",
            "Both are needed: the checkpoint and the decision are chosen on dev.",
            "Raise data.dev_size, or name dev rows with --dev.",
        )
    _look_over(prepared, config, say)
    say(
        f"Rows: {len(prepared.train)} to train on, {len(prepared.dev)} dev (checkpoint and decision are chosen there), "
        f"{len(prepared.test)} test (only reported); split seed {config.data.split_seed}."
    )
    return prepared


def _chosen(column: Targets, rows: Sequence[int]) -> Targets:
    # All labels, or all numbers, which a list of either does not say.
    return [column[row] for row in rows]  # type: ignore[return-value]


def _infer_spaces(
    schema: Schema, targets: Sequence[Targets], train: Sequence[int], config: RunConfig, say: Say
) -> tuple[Space, ...]:
    """Each field's answers, said aloud: the labels of all rows, but numbers as far as the training rows reach.

    What rows that are only reported hold must not decide what can be predicted of them.
    """
    if schema.kind == "multilabel":
        counts = ", ".join(
            f"{field.name!r} ×{sum(target == YES for target in column)}"
            for field, column in zip(schema.fields, targets, strict=True)
        )
        say(f"Answers: any of {len(schema.fields)} labels ({counts}), a {YES} or {NO} for each.")
        return tuple(YES_OR_NO for _ in schema.fields)
    spaces = []
    for field, column in zip(schema.fields, targets, strict=True):
        settings = config.fields.get(field.name, FieldConfig()).space if schema.kind == "record" else config.space
        known = column if field.task == "classification" or not train else _chosen(column, train)
        space, reason = infer_space(known, field.task, settings, field.marker)
        say(reason if schema.kind == "single" else f"{field.name!r}: {reason[0].lower()}{reason[1:]}")
        spaces.append(space)
    return tuple(spaces)


def _look_over(prepared: Prepared, config: RunConfig, say: Say) -> None:
    parts = {"training": prepared.train, "dev": prepared.dev, "test": prepared.test}
    for name, part in parts.items():
        if not len(part):
            continue
        for number, (field, space) in enumerate(zip(prepared.schema.fields, prepared.spaces, strict=True)):
            of_field = "" if prepared.schema.kind == "single" else f"{field.name!r}: "
            own = config if prepared.schema.kind == "single" else config.of_field(field.name)
            if line := rounded_targets(space, part.targets[number], part.numbers, name, own.space.strict):
                say(of_field + line)
            if name == "training":
                continue
            if line := strange_targets(space, part.targets[number], part.numbers, name):
                say(of_field + line)
            if field.task == "classification" and field.label is None:
                trained, other = ([str(target) for target in each.targets[number]] for each in (prepared.train, part))
                if line := unseen_labels(trained, other, name):
                    say(of_field + line)
    for name, part in parts.items():
        _refuse_unanswerable(prepared.spaces[0], part, name)
    for line in duplicates_across({name: (part.bodies, part.numbers) for name, part in parts.items()}):
        say(line)
    if prepared.train.solutions is not None:
        # Word problems go from one collection to the next, so that none is worth saying too.
        say(overlaps(prepared.train.bodies, {"dev": prepared.dev.bodies, "test": prepared.test.bodies}))


def _refuse_unanswerable(space: Space, part: Examples, name: str) -> None:
    """Rows with options of their own must have one in the place of their label."""
    for body, target, number in zip(part.bodies, part.targets[0], part.numbers, strict=True):
        if isinstance(body, Question) and space.index(target) >= len(body.options):  # type: ignore[union-attr]
            raise DataError(
                f"Row {number} of the {name} rows is answered {target!r}, and has {len(body.options)} options.",
                "Labels stand for options in their order (space.labels, data.options).",
            )


def _read_examples(
    source: str | RowsInMemory, schema: Schema, data: DataConfig, max_rows: int | None, say: Say
) -> Examples:
    table = read_table(source, limit=max_rows, root=data.root)
    for note in table.notes:
        say(note)
    numbers = sample_rows(len(table.good_rows), max_rows, data.split_seed)
    rows = [table.good_rows[number] for number in numbers]
    return Examples(
        bodies=[
            body_of(schema.template, row, schema.options, number) for number, row in zip(numbers, rows, strict=True)
        ],
        targets=tuple(read_fields(rows, schema.fields)),
        numbers=numbers,
        source=table.name,
        fingerprint=table.fingerprint,
    )
