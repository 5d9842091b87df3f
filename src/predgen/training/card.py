"""The model card of a run folder: what it is, how to use it, how well it did, what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from predgen.base_run import BaseRun
from predgen.training.run_folder import CARD


def write_card(folder: Path, run: BaseRun, metrics: Mapping[str, Any]) -> None:
    """Writes README.md into a run folder.

    Args:
        folder: The run folder.
        run: The run.
        metrics: What metrics.json holds.
    """
    record = next(iter(run.parts.values())).record
    train, dev, test = (record.data[name] for name in ("train", "dev", "test"))
    config = record.config
    targets = ", ".join(run.parts)
    decisions = ", ".join(dict.fromkeys(part.record.decision for part in run.parts.values()))
    lines = [
        "---",
        f"base_model: {record.base['name']}",
        "library_name: peft",
        "tags: [predgen]",
        "---",
        "",
        f"# {config['method']}: {targets} from `{_inline(record.template)}`",
        "",
        f"A {config['task']} model made with predgen: {config['peft']['method']} on {record.base['name']} "
        f"(SHA-256 {record.base['sha256'][:16]}…, {record.base['licence'] or 'licence not stated'}).",
        "",
        "```python",
        "import predgen",
        'run = predgen.load("this folder")',
        "run.predict(rows)",
        "```",
        "",
        f"Trained on {train['rows']} rows of {train['source']}, seed {config['train']['seed']}, split seed "
        f"{config['data']['split_seed']}. Checkpoint (step {record.best_step} of {record.total_steps}) and default "
        f"decision ({decisions}) were chosen by {run.metric} on {dev['rows']} dev rows of {dev['source']}.",
        "",
    ]
    if "test" in metrics:
        lines += [f"## {test['rows']} test rows of {test['source']}, used for nothing but this table", ""]
        lines += _evaluation(metrics["test"])
    (folder / CARD).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _evaluation(evaluation: Mapping[str, Any]) -> list[str]:
    if "fields" not in evaluation:
        return metric_table(evaluation)
    lines = [f"{evaluation['metric']}: {_number(evaluation['value'])}", ""]
    if evaluation["decisions"]:
        lines += [*metric_table(evaluation), ""]
    for name, field in evaluation["fields"].items():
        lines += [f"### {name}", "", *metric_table(field), ""]
    return lines


def metric_table(evaluation: Mapping[str, Any]) -> list[str]:
    """An evaluation as a Markdown table: decisions first, then what a constant reaches."""
    names = list(next(iter(evaluation["decisions"].values())))
    rows = ["| decision | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for group in ("decisions", "baseline"):
        for name, values in evaluation[group].items():
            shown = f"{name} (default)" if name == evaluation["decision"] else name
            shown = f"{name} (constant)" if group == "baseline" else shown
            rows.append(f"| {shown} | " + " | ".join(_number(values.get(metric)) for metric in names) + " |")
    return rows


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.4f}"


def _inline(text: str) -> str:
    return text.replace("\n", " ⏎ ")
