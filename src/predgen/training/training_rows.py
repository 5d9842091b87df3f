"""Encoded prompts and targets → the rows that a method is trained on."""

from __future__ import annotations

from collections import Counter

from predgen.answers.spaces import FreeNumber, LabelSet
from predgen.config import RunConfig
from predgen.data.batches import TrainingRow
from predgen.training.bench import Bench
from predgen.training.prepare import Prepared
from predgen.training.row_weights import row_weights


def training_rows(config: RunConfig, prepared: Prepared, bench: Bench) -> list[TrainingRow]:
    """One for each prompt; the windows of a long text share its weight.

    Args:
        config: The settings.
        prepared: The rows.
        bench: Their prompts as tokens, and their answers.
    """
    columns, encoded = prepared.train.targets, bench.prompts["training"]
    weights = row_weights(config.train.class_weights, bench.spaces[0], columns[0], prepared.train.weights)
    windows = Counter(encoded.rows)
    scale = len(encoded.prompts) / len(prepared.train)  # the mean over prompts stays 1
    # What cannot be listed is known by the row whose answer it is.
    own = bool(prepared.schema.options)
    several = prepared.schema.kind != "single"
    rows = []
    for number, (ids, row) in enumerate(zip(encoded.prompts, encoded.rows, strict=True)):
        answers = tuple(
            row if own or isinstance(space, FreeNumber) else space.index(targets[row])
            for space, targets in zip(bench.spaces, columns, strict=True)
        )
        values = tuple(
            float(space.index(targets[row])) if isinstance(space, LabelSet) else float(targets[row])
            for space, targets in zip(bench.spaces, columns, strict=True)
        )
        weight = weights[row] / windows[row] * scale
        rows.append(
            TrainingRow(ids, answers if several else answers[0], values if several else values[0], number, weight)
        )
    return rows
