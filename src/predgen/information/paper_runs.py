"""The models that the paper's figures are drawn of: its data sets where they are to be had, else tweets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter

from predgen.config import DataConfig, PromptConfig, RunConfig, SpaceConfig, TrainConfig
from predgen.data.columns import read_targets
from predgen.data.objects import table_of
from predgen.data.sources import SOURCES, read_table
from predgen.data.table import Table
from predgen.data.tasks import TASKS
from predgen.data.tasks.rows import read_task
from predgen.data.tasks.task import SplitName
from predgen.errors import DataError, nearest


@dataclass(frozen=True)
class PaperData:
    """A data set as the figures read it.

    Args:
        name: Of the data set.
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
    labels: Mapping[str, str] | None = None
    space: SpaceConfig = field(default_factory=SpaceConfig)


def _of_task(name: str) -> PaperData:
    task = TASKS[name]
    space = TypeAdapter(SpaceConfig).validate_python(task.space) if task.answers == "regression" else SpaceConfig()
    return PaperData(task.name, task.template, task.cue, task.target, task.labels or None, space)


PAPER_DATA: dict[str, PaperData] = {
    "vader-tweets": PaperData("vader-tweets", "Tweet: {text}", "\nSentiment:", "rating"),
    **{name: _of_task(name) for name in ("sst2", "piqa", "lcp")},
}


def read_paper_data(name: str, root: Path | None, split: SplitName = "train") -> Table:
    """The rows of a data set, its labels as words.

    Args:
        name: In `PAPER_DATA`.
        root: As `read_task` takes it; not needed for a set that `predgen data` lists.
        split: Of a task.

    Raises:
        DataError: If the set is unknown, or is not to be had.
    """
    if name not in PAPER_DATA:
        raise DataError(f"Unknown data set {name!r}:", nearest(name, PAPER_DATA))
    if name in SOURCES:
        return read_table(name)
    table, labels = read_task(TASKS[name], split, root), PAPER_DATA[name].labels
    if labels is None:
        return table
    target = PAPER_DATA[name].target
    words = read_targets(table.good_rows, target, "classification", names=tuple(labels.items()))
    rows = [{**row, target: word} for row, word in zip(table.good_rows, words, strict=True)]
    return replace(table_of(rows), name=name)


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
        root: As `read_task` takes it.
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
