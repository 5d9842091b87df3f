"""The model card of a run folder: what it is, how to use it, how well it did, what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from predgen.training.run_folder import CARD, RunRecord


def write_card(folder: Path, record: RunRecord, metrics: Mapping[str, Any]) -> None:
    """Writes README.md into a run folder.

    Args:
        folder: The run folder.
        record: Its record.
        metrics: What metrics.json holds.
    """
    train, dev, test = (record.data[name] for name in ("train", "dev", "test"))
    config = record.config
    lines = [
        "---",
        f"base_model: {record.base['name']}",
        "library_name: peft",
        "tags: [predgen]",
        "---",
        "",
        f"# {config['method']}: {record.target} from `{_inline(record.template)}`",
        "",
        f"A {record.task} model made with predgen: {config['peft']['method']} on {record.base['name']} "
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
        f"decision ({record.decision}) were chosen by {record.metric} on {dev['rows']} dev rows of {dev['source']}.",
        "",
    ]
    if "test" in metrics:
        lines += [f"## {test['rows']} test rows of {test['source']}, used for nothing but this table", ""]
        lines += metric_table(metrics["test"])
    (folder / CARD).write_text("\n".join(lines) + "\n", encoding="utf-8")


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
