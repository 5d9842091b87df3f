"""What commands print of runs and evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def print_facts(folder: Path, out: Console) -> None:
    """What a run folder was trained on, and how.

    Raises:
        RunFolderError: If it is no finished run.
    """
    from predgen.answers.spaces import space_from_json
    from predgen.training.record_folder import read_shared
    from predgen.training.run_folder import FIGURES, read_record

    shared = read_shared(folder)
    records = [read_record(folder)] if shared is None else [shared.of_field(field) for field in shared.fields]
    record = records[0]
    config = record.config
    parts = ", ".join(f"{record.data[name]['rows']} {name}" for name in ("train", "dev", "test"))
    selected, value = (record.metric, record.dev_value) if shared is None else (shared.metric, shared.dev_value)
    decisions = ", ".join(dict.fromkeys(each.decision for each in records))
    figures = sorted(str(path.relative_to(folder / FIGURES)) for path in (folder / FIGURES).rglob("*.png"))
    facts = Table(show_header=False, box=None, pad_edge=False)
    for name, text in (
        ("task", f"{config['task']} of {', '.join(repr(each.target) for each in records)} from {record.template!r}"),
        *(
            ("answers" if shared is None else f"  {each.target}", str(space_from_json(each.space)))
            for each in (records if shared is None or shared.kind == "record" else [])
        ),
        ("method", f"{config['method']}, {config['peft']['method']} rank {config['peft']['rank']}"),
        ("base", f"{record.base['name']} (SHA-256 {record.base['sha256'][:16]}…)"),
        ("rows", f"{parts} of {record.data['train']['source']}, split seed {config['data']['split_seed']}"),
        ("training", f"{record.total_steps} steps, seed {config['train']['seed']}, best at step {record.best_step}"),
        ("selected", f"{selected} {value:.4f} on dev, decision {decisions}"),
        ("versions", ", ".join(f"{library} {number}" for library, number in record.versions.items())),
        ("figures", ", ".join(figures) or "none"),
    ):
        facts.add_row(f"{escape(name)}  ", escape(text))
    out.print(facts)


def print_evaluation(evaluation: dict[str, Any], title: str, out: Console) -> None:
    """Every metric under every decision, beside what a constant reaches.

    Args:
        evaluation: As the `to_json` of an evaluation gives it.
        title: What rows they are.
        out: Where to.
    """
    if "fields" not in evaluation:
        _print_one(evaluation, title, out)
        return
    if evaluation["decisions"]:
        _print_table(evaluation, f"{evaluation['rows']} {title}, all labels", out)
        _say("* the run's default decision, chosen on dev", out)
    for name, field in evaluation["fields"].items():
        if evaluation["kind"] == "record":
            _print_one(field, f"{title}: {name}", out)
    if evaluation["kind"] == "record":
        _say(f"skill, the mean over fields of 1 − loss / the best constant's: {_number(evaluation['value'])}", out)
    for note in evaluation["notes"]:
        _say(note, out)


def _print_one(evaluation: dict[str, Any], title: str, out: Console) -> None:
    _print_table(evaluation, f"{evaluation['rows']} {title}", out)
    notes = ["* the run's default decision, chosen on dev"]
    if evaluation["interval"]:
        interval = evaluation["interval"]
        kind, size = (
            ("sets", f"{interval['size']:.3g} labels on average")
            if "size" in interval
            else (
                "intervals",
                f"mean width {interval['width']:.3g}",
            )
        )
        notes.append(f"90% {kind} hold {interval['coverage']:.1%} of the rows, {size}")
        if "crps" in interval:
            notes.append(
                f"the posterior's CRPS, to be set beside the MAE of a single number, is {interval['crps']:.4f}"
            )
    if covered := evaluation.get("covered"):
        notes.append(
            f"answers were searched for: those found hold at least {covered['mean']:.1%} of the probability on "
            f"average, {covered['least']:.1%} in the least covered row"
        )
    if evaluation["outside_space"] is not None:
        outside = f"{evaluation['outside_space']:.1%}"
        notes.append(f"left to itself, the writer leaves the space in {outside} of rows; predictions never do")
    for note in [*notes, *evaluation["notes"]]:
        _say(note, out)


def _print_table(evaluation: dict[str, Any], title: str, out: Console) -> None:
    names = list(next(iter(evaluation["decisions"].values())))
    table = Table("decision", *names, title=escape(title), title_justify="left")
    for name, values in evaluation["decisions"].items():
        shown = f"{name} *" if name == evaluation["decision"] else name
        table.add_row(shown, *(_number(values.get(metric)) for metric in names))
    table.add_section()
    for name, values in evaluation["baseline"].items():
        table.add_row(f"constant: {name}", *(_number(values.get(metric)) for metric in names))
    out.print(table)


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.4f}"


def _say(line: str, out: Console) -> None:
    out.print(line, markup=False, highlight=False, soft_wrap=True)
