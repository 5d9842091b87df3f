"""Writes ``recipes/<task>/<method>.yaml``: Table 3 as settings, each file with its command and the cell it aims at.

    python -m predgen.reproduce.recipes recipes

The files are kept beside the code for people to read and change; a test holds them against what is written here.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from predgen.data.tasks import find
from predgen.data.tasks.card import answers_of
from predgen.data.tasks.task import Task
from predgen.reproduce.beside import printed_title
from predgen.reproduce.cell import merged, preset_of
from predgen.reproduce.experiments import EXPERIMENTS, Column, Experiment
from predgen.reproduce.methods import METHODS, GridMethod
from predgen.reproduce.models import MODELS
from predgen.reproduce.published import printed_cells

RECIPE_METHODS = ("predictor", "generator", "predgen", "predgen-paper")
_TABLES = ("table1", "table2", "table5")
_WIDTH = 118

_SAYS = {
    "predictor": "a linear head on the prompt's last token.",
    "generator": "the answer is written, and learned by teacher forcing.",
    "predgen": "PredGen with this project's defaults.",
    "predgen-paper": "PredGen as the paper's text has it.",
}
_WHY: dict[str, str] = {
    "method": "predictor, generator or predgen",
    "predictor.pooling": "attention reads all tokens; first and mean are the paper's others",
    "loss": "as printed in appendix A; in exact arithmetic the product of the two losses",
    "writer.normalise": "section 2: the plain language model, over its whole vocabulary",
    "sampling.mode": "section 4: the whole history is gold, or the whole of it the model's own",
    "director.kind": "classes: the mean state (D.1); numbers: cross-entropy weighed by a digit's place (D.2)",
    "data.source": "brings the prompt, the answers, and the rows to select on",
    "data.eval": "rows that are reported, and select nothing",
    "sampling.steps": "optimizer steps until the history is all the model's own",
    "train.learning_rate": "the peak",
    "train.batch_size": "rows of a pass",
    "train.accumulate": "passes of an optimizer step",
    "train.epochs": "over the training rows",
    "train.warmup": "optimizer steps in which the rate rises",
    "train.schedule": "of the rate",
}


def columns() -> list[tuple[Experiment, Column]]:
    """Every column of Tables 1, 2 and 5, with its table."""
    return [(EXPERIMENTS[name], column) for name in _TABLES for column in EXPERIMENTS[name].columns]


def recipe_settings(column: Column, method: GridMethod) -> dict[str, Any]:
    """The nested settings of a recipe: what differs from the task's own defaults.

    Args:
        column: What is trained on, and what is reported.
        method: How.
    """
    trained, scored = find(column.trained_on), find(column.task)
    settings: dict[str, Any] = {**method.settings, **method.by_kind.get(trained.answers, {})}
    data: dict[str, Any] = {"source": trained.name}
    if column.task != column.trained_on:
        data["eval"] = scored.source(scored.reported)
    preset = dict(preset_of(trained))
    if settings["method"] != "predgen":
        preset.pop("sampling", None)
    return merged(merged(settings, {"data": data}), preset)


def recipe(experiment: Experiment, column: Column, method: GridMethod) -> str:
    """The YAML of a recipe, comments and all.

    Args:
        experiment: The table it aims at.
        column: The column of it.
        method: The row.
    """
    task, trained = find(column.task), find(column.trained_on)
    path = f"recipes/{task.name}/{method.name}.yaml"
    paragraphs = [
        f"{task.name}, {method.name}: {task.title}; {_SAYS[method.name]}",
        f"  predgen fit --config {path} --data-root DATA --out runs/{task.name}-{method.name}",
        _aim(experiment, column, method),
        f"Answers: {answers_of(task)}. Reported: {task.name}'s {task.reported} rows; "
        + (f"selected on its {trained.dev} rows." if trained.dev else f"selected on a tenth of {trained.name}'s rows."),
        _table3(trained),
    ]
    if trained.stand_in:
        parts = " and ".join(part.partition("/")[0] for part in trained.parts["train"])
        paragraphs.append(
            f"Where the data folder has no {trained.name}/train.json, the training rows of {parts} stand in for it, "
            "and the figure rests on that."
        )
    lines = ["#"]
    for paragraph in paragraphs:
        lines += [f"# {line}" if line else "#" for line in _wrapped(paragraph)] + ["#"]
    return "\n".join(lines[1:-1]) + "\n" + "\n".join(_yaml(recipe_settings(column, method))) + "\n"


def write_recipes(folder: Path) -> list[Path]:
    """Writes all of them.

    Args:
        folder: Each task gets a folder in it.

    Returns:
        The files.
    """
    written = []
    for experiment, column in columns():
        for name in RECIPE_METHODS:
            path = folder / column.task / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(recipe(experiment, column, METHODS[name]), encoding="utf-8")
            written.append(path)
    return written


def _aim(experiment: Experiment, column: Column, method: GridMethod) -> str:
    table = experiment.title.split(":")[0]
    if not column.in_paper:
        return (
            f"{table} of the paper does not have {column.task}; the authors' own small run of it reaches an accuracy "
            "of 0.923 on validation, with SmolLM-135M-Instruct and the best of 449 looks at these rows."
        )
    models = {model.printed: model.base for model in MODELS.values() if model.printed}
    cells = [cell for cell in printed_cells() if (cell.table, cell.task) == (experiment.name, column.task)]
    first = [cell for cell in cells if cell.method == method.printed][: len({cell.metric for cell in cells})]
    numbers = " and ".join(f"{_spoken(cell.metric)} {cell.printed}" for cell in first)
    reasons = dict.fromkeys(cell.reason for cell in first if cell.flag)
    numbers += f" (which cannot be: {'; '.join(reasons)})" if reasons else ""
    return (
        f"Aims at {table}, row {printed_title(str(method.printed))} of {first[0].model} with {first[0].peft}: "
        f"{numbers}. Of that model: --model {models[first[0].model]} --peft {first[0].peft} --set "
        "train.precision=bf16. Without --model it is smollm2-135m, the default."
    )


def _spoken(metric: str) -> str:
    return {"mae": "MAE", "mse": "MSE", "accuracy": "accuracy (%)", "exact_match": "exact match (%)"}[metric]


def _table3(task: Task) -> str:
    if task.preset is not None:
        return (
            "Rates, batches, epochs and sampling steps are Table 3's; PEFT ranks are not printed, and are the defaults."
        )
    if task.kind == "arithmetic":
        return (
            "Table 3 has no row for math10k: epochs, rate and batch are those that LLM-Adapters prints for it, the "
            "sampling steps the best of Fig. 4."
        )
    return f"Table 3 has no row for {task.name}: what it prints for BoolQ."


def _wrapped(paragraph: str) -> Sequence[str]:
    if paragraph.startswith("  "):
        return [paragraph]
    return textwrap.wrap(paragraph, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)


def _yaml(settings: Mapping[str, Any], above: str = "", indent: str = "") -> list[str]:
    """Nested settings as lines, each leaf with its reason behind it."""
    lines = []
    for key, value in settings.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}:", *_yaml(value, f"{name}.", indent + "  ")]
            continue
        written = "" if value is None else yaml.safe_dump(value).removesuffix("...\n").strip()
        lines.append(f"{indent}{key}: {written}" + (f" # {_WHY[name]}" if name in _WHY else ""))
    return lines


if __name__ == "__main__":
    write_recipes(Path(sys.argv[1] if len(sys.argv) > 1 else "recipes"))
