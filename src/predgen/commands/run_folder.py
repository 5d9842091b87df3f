"""Commands on what a run folder holds: `predgen show`, `predgen export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from predgen.commands.options import TrustRemoteCode, out, say


def show(run: Annotated[str, typer.Argument(help="A run folder.")]) -> None:
    """What was trained on what, how, and how well."""
    from predgen.printing import print_evaluation, print_facts
    from predgen.training.run_folder import METRICS, read_json

    folder = Path(run)
    print_facts(folder, out)
    metrics = read_json(folder, METRICS)
    if "test" in metrics:
        print_evaluation(metrics["test"], "test rows, used for nothing else", out)


def export(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    out_folder: Annotated[str, typer.Option("--out", help="The folder to write; new, or empty.")],
    merged: Annotated[
        bool, typer.Option("--merged", help="A plain transformers model, the adapter merged into the base.")
    ] = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Take a run's writer out, for use without predgen: the adapter, or a whole model."""
    from predgen.export import export as run_export

    run_export(Path(run), Path(out_folder), merged, say, trust_remote_code)
