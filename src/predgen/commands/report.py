"""The command `predgen report`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from predgen.commands.options import TrustRemoteCode, say
from predgen.terminal import writable


def report(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    data: Annotated[
        str | None, typer.Option(help="Rows with targets to judge it on; else the test rows that it kept.")
    ] = None,
    out_file: Annotated[str | None, typer.Option("--out", help="The HTML file; else report.html in RUN.")] = None,
    slice_: Annotated[
        list[str] | None, typer.Option("--slice", help="A column whose values are looked at apart; again for more.")
    ] = None,
    trained_on: Annotated[
        str | None, typer.Option(help="Where the data that it was fitted on are now, if they were moved.")
    ] = None,
    maps: Annotated[int, typer.Option(min=0, help="Rows to explain word by word.")] = 4,
    resamples: Annotated[int, typer.Option(min=100, help="Of every bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Most rows a pass.")] = 32,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """One HTML page about a run: how good, how sure, where it fails, and on what it rests."""
    from predgen.loading import load
    from predgen.progress import counting
    from predgen.report.material import Wanted
    from predgen.report.write import write_report
    from predgen.training.run_folder import read_checked

    folder = Path(run)
    read_checked(folder)
    path = writable(out_file or str(folder / "report.html"), data)
    wanted = Wanted(data, trained_on, tuple(slice_ or ()), maps, resamples, seed)
    options = [("--data", data), *(("--slice", column) for column in slice_ or ()), ("--trained-on", trained_on)]
    given = [part for name, value in options if value is not None for part in (name, value)]
    command = shlex.join(["predgen", "report", run, *given, "--seed", str(seed), "--resamples", str(resamples)])
    with counting("rows", None) as progress:
        size = write_report(
            folder, lambda: load(run, batch_size, trust_remote_code), path, wanted, command, say, progress
        )
    say(f"Report: {path}  ({size / 1e3:.0f} kB, opens in any browser)")
