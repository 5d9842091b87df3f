"""The command `predgen evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from predgen.commands.options import DataRoot, PrecisionOption, TrustRemoteCode, out, refuse_auto, say
from predgen.terminal import writable


def evaluate(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    data: Annotated[str, typer.Argument(help="Rows with targets, as for fit.")],
    json_file: Annotated[str | None, typer.Option("--json", help="Write the metrics here.")] = None,
    split: Annotated[
        str, typer.Option(help="Rows of the data the run was fitted on: auto (its test rows), test, dev, train, all.")
    ] = "auto",
    data_root: DataRoot = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows a pass.")] = 32,
    precision: PrecisionOption = "fp32",
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Score a run on rows with targets, under every decision, beside a constant prediction."""
    from predgen.base_run import BaseRun
    from predgen.evaluate import evaluate_source
    from predgen.loading import load
    from predgen.printing import print_evaluation
    from predgen.processes import join_processes, leave_processes
    from predgen.progress import counting
    from predgen.training.run_folder import write_json

    target = writable(json_file, data) if json_file else None
    processes = join_processes()
    refuse_auto(precision, processes.count)

    def load_run() -> BaseRun:
        return load(run, batch_size, trust_remote_code).shared_by(processes)

    watched = processes.watching(lambda: "while rows were scored", "Repeat the command.")
    with counting("rows", None) as progress, watched:
        evaluation = evaluate_source(Path(run), load_run, data, split, say, progress, precision, data_root)
        processes.wait()
    leave_processes()
    print_evaluation(evaluation.to_json(), f"rows of {data}", out)
    if target and processes.main:
        write_json(target, evaluation.to_json())
        say(f"Metrics: {target}")
