"""The command `predgen fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from predgen.commands.options import (
    DataRoot,
    EvalRows,
    MaxRows,
    ModelName,
    RowTemplate,
    Target,
    TaskKind,
    TextColumn,
    TrustRemoteCode,
    out,
    say,
)


def fit(
    data: Annotated[
        str | None, typer.Argument(help="A csv, tsv, jsonl or parquet file, or a name from `predgen data` or `tasks`.")
    ] = None,
    text: TextColumn = None,
    template: RowTemplate = None,
    target: Target = None,
    task: TaskKind = None,
    method: Annotated[str | None, typer.Option(help="predgen, generator or predictor.")] = None,
    model: ModelName = None,
    peft: Annotated[str | None, typer.Option(help="The PEFT method; `predgen peft` lists them.")] = None,
    out_folder: Annotated[str | None, typer.Option("--out", help="The run folder to write.")] = None,
    dev: Annotated[str | None, typer.Option(help="Rows that select the checkpoint; else a part of DATA.")] = None,
    eval_data: EvalRows = None,
    data_root: DataRoot = None,
    max_rows: MaxRows = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training rows.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of training; the split has its own, data.split_seed.")] = None,
    config: Annotated[str | None, typer.Option(help="A YAML file of settings; the options here win over it.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: train.batch_size=8. Repeatable.")
    ] = None,
    long: Annotated[
        str | None, typer.Option(help="What is kept of a text that is too long: head, tail, head-tail, windows.")
    ] = None,
    chat: Annotated[
        str | None, typer.Option(help="Prompts through the model's chat template: auto (where it has one), on, off.")
    ] = None,
    weight: Annotated[str | None, typer.Option(help="A column: what each training row counts.")] = None,
    time_budget: Annotated[str | None, typer.Option(help="Take fewer steps where more would take longer: 30m.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run in the output folder.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a stopped run; --out alone names it.")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Resume even if settings or rows have changed.")
    ] = False,
    start_from: Annotated[str | None, typer.Option("--from", help="Train this finished run further, on DATA.")] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Train on rows of text and write a run folder."""
    from predgen.config_reading import load_config

    if resume and config is None and data is None and out_folder is not None:
        config = str(Path(out_folder) / "config.yaml")
    under: dict[str, Any] = {}
    if start_from is not None:
        from predgen.training.run_folder import settings_to_continue

        under = settings_to_continue(Path(start_from))
    settings = load_config(
        config,
        set_ or [],
        {
            "data.source": data,
            "data.text": text,
            "data.template": template,
            "data.target": target[0] if target and len(target) == 1 else target or None,
            "data.dev": dev,
            "data.eval": eval_data,
            "data.root": data_root,
            "data.max_rows": max_rows,
            "data.weight": weight,
            "prompt.long": long,
            "prompt.chat": chat,
            "task": task,
            "method": method,
            "model.name": model,
            "peft.method": peft,
            "out": out_folder,
            "train.epochs": epochs,
            "train.seed": seed,
            "train.time_budget": time_budget,
        },
        under,
    )
    from predgen.processes import leave_processes
    from predgen.training.fit import fit as run_fit

    fitted = run_fit(
        settings,
        overwrite=overwrite,
        say=say,
        trust_remote_code=trust_remote_code,
        resume=resume,
        accept_changes=accept_changes,
        start_from=start_from,
    )
    dev_result = fitted.metrics["dev"]
    say(
        f"Best on dev: {dev_result['metric']} {dev_result['value']:.4f} at step {dev_result['step']}, "
        f"decision {_decisions(dev_result)}."
    )
    if "test" in fitted.metrics:
        from predgen.printing import print_evaluation

        print_evaluation(fitted.metrics["test"], "test rows, used for nothing else", out)
    leave_processes()
    say(f"Run folder: {fitted.folder}  (predgen show {fitted.folder})")


def _decisions(dev_result: dict[str, Any]) -> str:
    """The default decision, or those of a record's fields."""
    fields = dev_result.get("fields", {})
    return ", ".join(f"{name}: {field['decision']}" for name, field in fields.items()) or str(dev_result["decision"])
