"""`make demo`: the three methods on the same rows, their results and pictures side by side."""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from predgen.answers.spaces import LabelSet
from predgen.config import RunConfig
from predgen.config_reading import load_config
from predgen.decoding.decide import number_decisions
from predgen.errors import ConfigError, PredgenError
from predgen.figures import side_by_side
from predgen.model.build import METHOD_NAMES
from predgen.prediction import to_json
from predgen.report.material import Wanted
from predgen.report.write import write_report
from predgen.terminal import hush_known_warnings, open_console
from predgen.training.card import metric_table
from predgen.training.fit import Fitted, fit

TRY_THESE = ("What a wonderful morning!", "My flight is delayed again.", "The meeting is at ten.")


def run_demo(config: RunConfig, console: Console) -> Path:
    """Fits each method into a folder of its own and compares them.

    Args:
        config: Settings that all methods share; `out` is the folder of the demo.
        console: Where to print.

    Returns:
        The demo's folder: comparison.md, comparison.png, report.html and the run folders.

    Raises:
        ConfigError: If no output folder is named.
    """
    if config.out is None:
        raise ConfigError("The demo's recipe names no output folder.", remedy="Add a line such as out: runs/demo.")
    folder, fitted, seconds = Path(config.out), dict[str, Fitted](), dict[str, float]()
    for method in METHOD_NAMES:
        console.rule(method)
        started = time.monotonic()
        settings = replace(config, method=method, out=str(folder / method))
        fitted[method] = fit(
            settings, overwrite=True, say=lambda line: console.print(line, markup=False, soft_wrap=True)
        )
        seconds[method] = time.monotonic() - started
    console.rule("side by side")
    _print_table(fitted, seconds, console)
    _write_comparison(folder, fitted)
    _draw(folder, fitted)
    for prediction, text in zip(fitted["predgen"].run.predict(list(TRY_THESE)), TRY_THESE, strict=True):
        console.print(f"{text!r}: {json.dumps(to_json(prediction))}", markup=False, soft_wrap=True)
    console.print(f"Written: {folder / 'comparison.md'}, {folder / 'comparison.png'}, and a run folder a method.")
    _report(folder, fitted["predgen"], console)
    return folder


def _report(folder: Path, fitted: Fitted, console: Console) -> None:
    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    console.rule("report")
    path = folder / "report.html"
    command = f"predgen report {shlex.quote(str(fitted.folder))} --out {shlex.quote(str(path))}"
    write_report(fitted.folder, lambda: fitted.run, path, Wanted(), command, say)
    say(f"Report: {path}  (opens in any browser; {command})")


def _print_table(fitted: dict[str, Fitted], seconds: dict[str, float], console: Console) -> None:
    evaluations = {method: run.metrics["test"] for method, run in fitted.items()}
    first = next(iter(evaluations.values()))
    names = list(next(iter(first["decisions"].values())))
    table = Table("method", "decision", *names, "fit, s", title=f"{first['rows']} test rows", title_justify="left")
    for method, evaluation in evaluations.items():
        for decision, values in evaluation["decisions"].items():
            star = " *" if decision == evaluation["decision"] else ""
            numbers = (f"{values[name]:.3f}" for name in names)
            table.add_row(method, decision + star, *numbers, f"{seconds[method]:.0f}")
        table.add_section()
    for name, values in first["baseline"].items():
        table.add_row("constant", name, *("–" if values[n] != values[n] else f"{values[n]:.3f}" for n in names), "")
    console.print(table)
    console.print("* the run's default decision, chosen on dev")


def _write_comparison(folder: Path, fitted: dict[str, Fitted]) -> None:
    lines = ["# The three methods side by side", "", "![predictions and errors](comparison.png)"]
    for method, run in fitted.items():
        test = run.metrics["test"]
        lines += ["", f"## {method}", "", f"{test['rows']} test rows, never trained or selected on.", ""]
        lines += metric_table(test)
    (folder / "comparison.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _draw(folder: Path, fitted: dict[str, Fitted]) -> None:
    panels, values = [], []
    for method, run in fitted.items():
        evaluation, part = run.metrics["test"], next(iter(run.run.parts.values()))
        if isinstance(part.space, LabelSet) or run.reported is None:
            return  # scatter plots are for numbers; each run folder has its confusion matrix
        (scores,), (truth,) = run.reported
        decision = evaluation["decision"]
        decided = number_decisions(scores, part.space, part.reader_name)[decision]
        panels.append((f"{method}: {decision}", [float(target) for target in truth], decided.values.tolist()))
        values += [(method, name, metrics["mae"]) for name, metrics in evaluation["decisions"].items()]
    baseline = next(iter(fitted.values())).metrics["test"]["baseline"]
    values += [("constant", name, metrics["mae"]) for name, metrics in baseline.items()]
    side_by_side(panels, values, "mae", folder / "comparison.png")


def main() -> None:
    """Runs the demo of the recipe named on the command line."""
    hush_known_warnings()
    try:
        run_demo(load_config(sys.argv[1] if len(sys.argv) > 1 else "recipes/demo.yaml"), open_console())
    except PredgenError as problem:
        sys.exit(f"Error: {problem}")


if __name__ == "__main__":
    main()
