"""The command `predgen compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from predgen.commands.options import DataRoot, TrustRemoteCode, out, say
from predgen.terminal import writable


def compare(
    runs: Annotated[list[str], typer.Argument(help="Two or more run folders, then DATA.")],
    metric: Annotated[
        str | None, typer.Option(help="What to compare by; else what the first run was selected by.")
    ] = None,
    split: Annotated[str, typer.Option(help="As for evaluate.")] = "auto",
    resamples: Annotated[int, typer.Option(min=1, help="Of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    out_folder: Annotated[str, typer.Option("--out", help="Where the picture and the numbers go.")] = "runs/comparison",
    data_root: DataRoot = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows a pass.")] = 32,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Compare runs on the same rows, by a paired bootstrap: predgen compare RUN RUN … DATA."""
    from predgen.compare import compare as compare_runs
    from predgen.figures import comparison_of_runs
    from predgen.loading import load
    from predgen.training.run_folder import write_json

    *folders, data = runs
    target = writable(str(Path(out_folder) / "comparison.json"))
    comparison = compare_runs(
        [Path(folder) for folder in folders],
        lambda folder: load(folder, batch_size, trust_remote_code),
        data,
        metric,
        split,
        resamples,
        seed,
        data_root,
    )
    shown = Table("run", "method", "decision", comparison.metric, "95%", "difference", "95%", "p")
    for run in comparison.runs:
        first = run.p is None
        shown.add_row(
            run.run,
            run.method,
            run.decision,
            f"{run.value:.4f}",
            f"{run.low:.4f} – {run.high:.4f}",
            "" if first else f"{run.difference:+.4f}",
            "" if first else f"{run.difference_low:+.4f} – {run.difference_high:+.4f}",
            "" if run.p is None else f"{run.p:.3f}",
        )
    out.print(shown)
    say(
        f"{comparison.rows} rows, {comparison.resamples} paired resamples, seed {comparison.seed}; differences are to "
        "the first run. Training chance is not in these intervals: compare several seeds."
    )
    for note in comparison.notes:
        say(note)
    write_json(target, comparison.to_json())
    picture = target.with_name("comparison.png")
    comparison_of_runs(comparison.to_json(), picture)
    say(f"Picture: {picture}")
