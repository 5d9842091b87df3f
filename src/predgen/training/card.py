"""The model card of a run folder: what it is, how to use it, how well it did, what it rests on, where it ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from predgen.answers.spaces import FreeNumber, LabelSet
from predgen.base_run import BaseRun
from predgen.metrics import METRICS, better
from predgen.model.bases import public_name
from predgen.run import Run
from predgen.training.card_metadata import metadata
from predgen.training.run_folder import CARD

PAPER = """\
@inproceedings{kowsher-etal-2025-predicting,
  title = {Predicting Through Generation: Why Generation Is Better for Prediction},
  author = {Kowsher, Md and Prottasha, Nusrat Jahan and Bhat, Prakash and Yu, Chun-Nam and Soltanalian, Mojtaba and
            Garibay, Ivan and Garibay, Ozlem and Chen, Chen and Yousefi, Niloofar},
  booktitle = {Proceedings of the 63rd Annual Meeting of the Association for Computational Linguistics},
  year = {2025},
  pages = {26845--26871},
  doi = {10.18653/v1/2025.acl-long.1303}
}"""


def write_card(folder: Path, run: BaseRun, metrics: Mapping[str, Any], name: str | None = None) -> None:
    """Writes README.md into a run folder.

    Args:
        folder: The run folder.
        run: The run.
        metrics: What metrics.json holds.
        name: The hub id; None of a run that lies in a folder.
    """
    record = next(iter(run.parts.values())).record
    train, dev, test = (record.data[part] for part in ("train", "dev", "test"))
    config = record.config
    targets = ", ".join(run.parts)
    decisions = ", ".join(dict.fromkeys(part.record.decision for part in run.parts.values()))
    lines = [
        "---",
        metadata(run, metrics, name or f"{config['method']}: {targets}").to_yaml(),
        "---",
        "",
        f"# {config['method']}: {targets} from `{_inline(record.template)}`",
        "",
        f"A {config['task']} model made with predgen: {config['peft']['method']} on {public_name(record.base['name'])} "
        f"(SHA-256 {record.base['sha256'][:16]}…, {record.base['licence'] or 'licence not stated'}).",
        "",
        "```python",
        "import predgen",
        f'run = predgen.load("{name or "this folder"}")',
        "run.predict(rows)",
        "```",
        "",
        f"Trained on {train['rows']} rows of {_file(train)}, seed {config['train']['seed']}, split seed "
        f"{config['data']['split_seed']}. Checkpoint (step {record.best_step} of {record.total_steps}) and default "
        f"decision ({decisions}) were chosen by {run.metric} on {dev['rows']} dev rows of {_file(dev)}.",
        "",
    ]
    if "test" in metrics:
        lines += [f"## {test['rows']} test rows of {_file(test)}, used for nothing but this table", ""]
        lines += [*_evaluation(metrics["test"]), ""]
    lines += ["## Limits", "", *(f"- {limit}" for limit in limits(run, metrics)), ""]
    lines += ["## How to cite", "", "The method is that of", "", "```bibtex", PAPER, "```", ""]
    lines += [
        f"fitted with predgen {record.versions['predgen']}. Cite the base model and the data as their authors ask."
    ]
    (folder / CARD).write_text("\n".join(lines) + "\n", encoding="utf-8")


def limits(run: BaseRun, metrics: Mapping[str, Any]) -> list[str]:
    """What a reader must not expect of a run, from what is known of it."""
    first = next(iter(run.parts.values()))
    record, config = first.record, first.record.config
    said = [_answers_of(part) for part in run.parts.values()] if len(run.parts) <= 5 else []
    if len(run.parts) > 5:
        said.append(f"It answers {len(run.parts)} questions of every text, and nothing else.")
    kept = {"windows": "are read in overlapping windows"}.get(config["prompt"]["long"], "lose the rest of their text")
    said.append(f"Prompts of more than {record.max_tokens} tokens {kept}.")
    said.append(
        f"It has seen {record.data['train']['rows']} rows of one source. Texts of another kind, language or time may "
        "be answered worse, and as surely; what the base model has of bias it may have too."
    )
    said.append(
        "Intervals and sets hold their level over rows like the "
        f"{record.data['dev']['rows']} dev rows they were made from, on average, and not for every kind of row."
    )
    if record.base.get("probe") is not None:
        said.append(
            "The adapter is not all: predgen reads `probe.safetensors` with it, which peft alone does not know."
        )
    if not first.calibration.rows:
        said.append("Probabilities are not calibrated: the dev rows were too few, or it was not asked for.")
    if "test" not in metrics:
        said.append(
            "No test rows were held out: the dev rows' metric, by which it was selected, looks better than it is."
        )
    elif _no_better(metrics["test"], run.metric):
        said.append(f"By {METRICS[run.metric].title} it does no better on the test rows than a constant answer.")
    return said


def _answers_of(run: Run) -> str:
    space, name = run.space, run.record.target
    if isinstance(space, LabelSet):
        shown = ", ".join(f"`{_inline(label)}`" for label in space.labels[:10])
        more = f", … ({len(space.labels)} in all)" if len(space.labels) > 10 else ""
        return f"{name} is always one of {shown}{more}, whatever the text."
    if isinstance(space, FreeNumber):
        size = f"{space.digits} digits and {space.decimals} decimals"
        return f"{name} is any number of up to {size}, without a distribution."
    return f"{name} is always a number from {space.low:g} to {space.high:g}."


def _no_better(evaluation: Mapping[str, Any], metric: str) -> bool:
    if "fields" in evaluation:
        return metric == "skill" and evaluation["value"] is not None and evaluation["value"] <= 0
    value = evaluation["decisions"][evaluation["decision"]].get(metric)
    constants = [values[metric] for values in evaluation["baseline"].values() if values.get(metric) is not None]
    constants = [constant for constant in constants if not math.isnan(constant)]
    return value is not None and any(not better(metric, value, constant) for constant in constants)


def _file(part: Mapping[str, Any]) -> str:
    """A source's own name: where it lay on somebody's machine is left out."""
    return Path(part["source"]).name


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
