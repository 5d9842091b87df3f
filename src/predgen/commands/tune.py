"""`predgen tune`: parse, call one function, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from predgen.commands.options import (
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
from predgen.errors import ConfigError


def tune(
    data: Annotated[
        str | None, typer.Argument(help="A csv, tsv, jsonl or parquet file, or a name from `predgen data` or `tasks`.")
    ] = None,
    text: TextColumn = None,
    template: RowTemplate = None,
    target: Target = None,
    task: TaskKind = None,
    method: Annotated[str | None, typer.Option(help="predgen, generator or predictor: not searched then.")] = None,
    model: ModelName = None,
    peft: Annotated[str | None, typer.Option(help="The PEFT method: not searched then.")] = None,
    dev: Annotated[str | None, typer.Option(help="Rows that trials are compared on; else a part of DATA.")] = None,
    eval_data: EvalRows = None,
    max_rows: MaxRows = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training rows: not searched then.")] = None,
    metric: Annotated[str | None, typer.Option(help="The dev metric; accuracy or mae by default.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="How many in all, those of an earlier start included.")] = 20,
    time_budget: Annotated[
        str | None, typer.Option(help="As 30m or 2h: no trial starts later, and the running one ends soon.")
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(help="A setting and its candidates: 'train.learning_rate=1e-5..1e-3 log', peft.rank=4,8. Repeat."),
    ] = None,
    pruning: Annotated[bool, typer.Option(help="End trials that are behind the median of the others.")] = True,
    seed: Annotated[int | None, typer.Option(help="Of training, and of the search.")] = None,
    config: Annotated[str | None, typer.Option(help="A YAML file of settings; what it sets is not searched.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting, which is then not searched. Repeatable.")
    ] = None,
    out_folder: Annotated[str | None, typer.Option("--out", help="Study and best run; runs/DATA-tune.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start the study in the folder anew.")] = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Search for the settings that do best on the dev rows; the same command goes on with a search that was stopped."""
    _check_optuna()
    from predgen.config_reading import load_config, named_settings
    from predgen.printing import print_evaluation
    from predgen.training.estimate import seconds_of
    from predgen.training.run_folder import METRICS, read_json
    from predgen.tuning.search_space import dimensions
    from predgen.tuning.tune import BEST
    from predgen.tuning.tune import tune as run_tune

    overrides: dict[str, Any] = {
        "data.source": data,
        "data.text": text,
        "data.template": template,
        "data.target": target[0] if target and len(target) == 1 else target or None,
        "data.dev": dev,
        "data.eval": eval_data,
        "data.max_rows": max_rows,
        "task": task,
        "method": method,
        "model.name": model,
        "peft.method": peft,
        "train.epochs": epochs,
        "train.metric": metric,
        "train.seed": seed,
    }
    settings = load_config(config, set_ or [], overrides)
    searched = dimensions(search or [], named_settings(config, set_ or [], overrides))
    folder = Path(out_folder or f"runs/{Path(settings.data.source or 'rows').stem}-tune")
    tuned = run_tune(
        settings,
        searched,
        folder,
        trials,
        None if time_budget is None else seconds_of(time_budget),
        pruning,
        overwrite,
        say,
        trust_remote_code,
    )
    _print_best(tuned.trials, tuned.metric)
    if tuned.importance:
        shares = ", ".join(f"{name} {share:.2f}" for name, share in tuned.importance.items())
        say(f"What {tuned.metric} varies by: {shares}.")
    metrics = read_json(folder / BEST, METRICS)
    if "test" in metrics:
        print_evaluation(metrics["test"], "test rows, used for nothing else", out)
    say(f"Best run: {folder / 'best'}; study: {folder / 'study.db'}; picture: {folder / 'importance.png'}")


def _print_best(trials: list[dict[str, Any]], metric: str, most: int = 5) -> None:
    from predgen.metrics import METRICS

    finished = [trial for trial in trials if trial["state"] == "complete"]
    finished.sort(key=lambda trial: trial["value"], reverse=METRICS[metric].greater_is_better)
    names = list(dict.fromkeys(name for trial in finished for name in trial["settings"]))
    table = Table("trial", f"dev {metric}", *names, "seconds")
    for trial in finished[:most]:
        values = [trial["settings"].get(name, "") for name in names]
        shown = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in values]
        table.add_row(str(trial["trial"]), f"{trial['value']:.4f}", *shown, f"{trial['seconds']:.0f}")
    out.print(table)
    states = [trial["state"] for trial in trials]
    say(
        f"{len(finished)} trials finished, {states.count('pruned')} ended early, {states.count('fail')} failed. The "
        "best of many looks better on dev than it is: only the test rows say how good."
    )


def _check_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as problem:
        raise ConfigError("Searching needs optuna.", remedy='pip install "predgen[tune]"') from problem
