"""The models that the paper's figures are drawn of: its data sets where a mirror has them, tweets where none does."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from predgen.config import DataConfig, PromptConfig, RunConfig, SpaceConfig, TrainConfig
from predgen.data.objects import table_of
from predgen.data.sources import SOURCES, read_table
from predgen.data.table import Table
from predgen.errors import DataError, nearest

DATA_ROOT = "PREDGEN_DATA"  # the environment variable that names the mirror


@dataclass(frozen=True)
class PaperData:
    """A data set as the figures read it.

    Args:
        name: Of the data set; in a mirror its folder.
        template: Makes the prompt's body of a row.
        cue: Ends the prompt.
        target: The column to predict.
        labels: Value in the target column → label, where the rows say 0 and 1.
        space: The answers, where they are not inferred.
    """

    name: str
    template: str
    cue: str
    target: str
    labels: Mapping[Any, str] | None = None
    space: SpaceConfig = field(default_factory=SpaceConfig)


PAPER_DATA: dict[str, PaperData] = {
    data.name: data
    for data in (
        PaperData("vader-tweets", "Tweet: {text}", "\nSentiment:", "rating"),
        PaperData("sst2", "Review: {sentence}", "\nSentiment:", "label", {0: "negative", 1: "positive"}),
        PaperData(
            "piqa",
            "Goal: {goal}\nSolution 1: {sol1}\nSolution 2: {sol2}",
            "\nThe right one is Solution",
            "label",
            {0: "1", 1: "2"},
        ),
        PaperData(
            "lcp",
            "Sentence: {sentence}\nWord: {token}",
            "\nComplexity:",
            "complexity",
            space=SpaceConfig(kind="grid", low=0.0, high=1.0, decimals=2),
        ),
    )
}


def data_root(given: str | None) -> Path | None:
    """The mirror's folder: as given, or as the environment names it; None where neither does."""
    root = given or os.environ.get(DATA_ROOT)
    return None if root is None else Path(root).expanduser()


def read_paper_data(name: str, root: Path | None, split: str = "train") -> Table:
    """The rows of a data set, its labels as words.

    Args:
        name: In `PAPER_DATA`.
        root: A mirror laid out as ``<root>/<name>/<split>.jsonl.gz``; not needed for a set that `predgen data` lists.
        split: Of the mirror.

    Raises:
        DataError: If the set is unknown, or is not to be had.
    """
    if name not in PAPER_DATA:
        raise DataError(f"Unknown data set {name!r}:", nearest(name, PAPER_DATA))
    if name in SOURCES:
        return read_table(name)
    if root is None:
        raise DataError(
            f"{name} is read from a mirror, and none is named.",
            f"Expected a folder with {name}/{split}.jsonl.gz in it.",
            f"Name it with --data-root or {DATA_ROOT}.",
        )
    file = root / name / f"{split}.jsonl.gz"
    if not file.is_file():
        raise DataError(f"The mirror {root} has no {name}/{split}.jsonl.gz.", remedy="Name another with --data-root.")
    table, labels = read_table(file), PAPER_DATA[name].labels
    if labels is None:
        return replace(table_of(table.good_rows), name=name)
    target = PAPER_DATA[name].target
    unknown = {str(row.get(target)) for row in table.good_rows} - {str(value) for value in labels}
    if unknown:
        raise DataError(f"{file} holds {target} {sorted(unknown)[0]!r}.", f"Expected one of {sorted(labels)}.")
    words = {str(value): label for value, label in labels.items()}
    return replace(table_of([{**row, target: words[str(row[target])]} for row in table.good_rows]), name=name)


def demo_config(name: str, method: str, out: Path) -> RunConfig:
    """The settings of recipes/demo.yaml, for any of the data sets."""
    data = PAPER_DATA[name]
    return RunConfig(
        method=method,
        out=str(out),
        data=DataConfig(
            source=name, template=data.template, target=data.target, train_size=400, dev_size=80, test_size=200
        ),
        prompt=PromptConfig(cue=data.cue),
        space=data.space,
        train=TrainConfig(epochs=1, batch_size=8, learning_rate=1e-3, evaluations=2),
    )


def paper_run(name: str, method: str, folder: Path, root: Path | None, say: Callable[[str], None]) -> Path:
    """A run of the demo's settings on a data set: the one that is there, or one fitted now.

    Args:
        name: In `PAPER_DATA`.
        method: predictor, generator or predgen.
        folder: Runs are kept in ``<folder>/<name>-<method>``.
        root: The mirror.
        say: Takes one line at a time.

    Returns:
        The run folder.
    """
    from predgen.training.fit import fit
    from predgen.training.run_folder import RECORD

    out = folder / f"{name}-{method}"
    if not (out / RECORD).exists():
        rows = None if name in SOURCES else read_paper_data(name, root).good_rows
        say(f"Fitting {method} on {name} at the demo's settings, once: {out}")
        fit(demo_config(name, method, out), say=say, resume=True, data=rows)
    return out
