"""`predgen reproduce`: parse, run the grid, write the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.table import Table

from predgen.commands.options import DataRoot, out, say
from predgen.errors import ConfigError, PredgenError

if TYPE_CHECKING:
    from predgen.reproduce.cell import Cell
    from predgen.reproduce.ledger import Ledger

_Number = TypeVar("_Number", int, float)


def reproduce(
    experiments: Annotated[
        list[str], typer.Argument(help="table1, table2, table5, fig4, fig5, fig6; several, or all of them: all.")
    ],
    scale: Annotated[
        str, typer.Option(help="smoke (seconds), cpu, gpu, or paper (the paper's own models and Table 3).")
    ] = "cpu",
    models: Annotated[str | None, typer.Option(help="Comma-separated; else the scale's, or the table's.")] = None,
    peft: Annotated[str | None, typer.Option(help="PEFT methods, likewise.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Columns of the table, likewise; all by default.")] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="predictor, predictor-attention, generator, predgen, predgen-paper, predgen-released; likewise."
        ),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Of training, likewise: 0,1,2.")] = None,
    rates: Annotated[
        str | None, typer.Option(help="Learning rates that every method tries, likewise; makes other cells.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of every run, e.g. peft.rank=16; makes other cells.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells with what each will take.")] = False,
    shard: Annotated[str, typer.Option(help="Run part i of n of the cells: i/n.")] = "1/1",
    retry: Annotated[bool, typer.Option("--retry", help="Try cells again that failed.")] = False,
    more_rates: Annotated[
        bool, typer.Option("--more-rates", help="Finished cells try the learning rates that they have not tried yet.")
    ] = False,
    only_tables: Annotated[bool, typer.Option("--only-tables", help="Run nothing; write the tables anew.")] = False,
    data_root: DataRoot = None,
    out_folder: Annotated[str, typer.Option("--out", help="Run folders, failures and tables.")] = "runs/reproduce",
    cells_folder: Annotated[
        str | None, typer.Option("--cells", help="Finished cells, a small JSON each; <out>/cells by default.")
    ] = None,
    launcher: Annotated[str, typer.Option(help="here, or ray: one cell after another, or spread by Ray.")] = "here",
) -> None:
    """Fit and score the cells of the paper's tables, and write ours beside the paper's."""
    from predgen.reproduce.cell import cells_of, tasks_of
    from predgen.reproduce.experiments import EXPERIMENTS, find_experiment
    from predgen.reproduce.grid import run_grid
    from predgen.reproduce.grid import shard as part_of
    from predgen.reproduce.launch import find_launcher
    from predgen.reproduce.ledger import Ledger
    from predgen.reproduce.report import write_tables
    from predgen.reproduce.scales import find_scale

    named = list(EXPERIMENTS) if experiments == ["all"] else experiments
    wanted = [find_experiment(name) for name in named]
    chosen = find_scale(scale)
    launch = find_launcher(launcher)
    cells: dict[str, Cell] = {}
    for experiment, named_tasks in tasks_of(wanted, _listed(tasks)):
        found = cells_of(
            experiment,
            chosen,
            models=_listed(models),
            peft=_listed(peft),
            tasks=named_tasks,
            methods=_listed(methods),
            seeds=_numbers(seeds, "--seeds", int),
            changed=set_ or (),
            rates=_numbers(rates, "--rates", float),
        )
        cells |= {cell.id: cell for cell in found}
    mine = part_of(list(cells.values()), shard)
    ledger = Ledger(Path(out_folder), Path(cells_folder) if cells_folder else None)
    if dry_run:
        _print_costs(mine, ledger, more_rates)
        return
    whole, written = True, list[Path]()
    try:
        if not only_tables:
            run = run_grid if launch is None else launch
            outcome = run(mine, ledger, say, retry, data_root, more_rates)
            say(outcome.line())
            for kind, problems in (("Failed", outcome.failed), ("Too large", outcome.too_large)):
                for cell, problem in problems.items():
                    say(f"{kind}: {cell}: {problem}")
            for cell in outcome.stale:
                say(f"Made with other settings: {cell}; remove {ledger.cells / cell}.json to fit it again.")
            if outcome.fewer:
                say("--more-rates tries the learning rates that are missing, and keeps what was done.")
            if outcome.failed and not retry:
                say(f"Each error is in {ledger.out / 'failed'}; --retry tries these cells again.")
            whole = not (outcome.failed or outcome.too_large)
    finally:
        written += write_tables(wanted, ledger)
        for path in written:
            say(f"Written: {path}")
    if only_tables and not written:
        which = " that changes anything" if all(len(experiment.variants) > 1 for experiment in wanted) else ""
        raise PredgenError(
            f"{ledger.cells} holds no finished cell of {', '.join(named)}{which}.",
            remedy="Run them first, or name the folder of finished ones: --cells.",
        )
    if not whole:
        raise PredgenError("Not all cells are finished.", remedy="The lines above say why.")


def _print_costs(cells: Sequence[Cell], ledger: Ledger, more_rates: bool) -> None:
    from predgen.reproduce.cell import rates_of
    from predgen.reproduce.costs import cost_of, matrix_speed
    from predgen.reproduce.grid import rates_to_try
    from predgen.reproduce.hardware import memory_for_models

    speed, finished = matrix_speed(), ledger.results()
    available, of = memory_for_models()
    table = Table("cell", "state", "runs", "memory", "time")
    seconds, todo, too_large = 0.0, 0, 0
    for cell in cells:
        state, cost = ledger.state(cell.id), cost_of(cell, speed, finished)
        memory = "?" if cost is None else f"{cost.memory / 2**30:.1f} GiB"
        large = cost is not None and bool(available) and cost.memory > available
        spoken = "?" if cost is None else f"{'' if cost.measured else '~'}{_duration(cost.seconds)}"
        left = rates_to_try(cell, ledger, more_rates)
        runs = str(len(left or rates_of(cell)))
        shown = "finished, more rates" if state == "finished" and left else state
        table.add_row(cell.id, shown, runs, memory + (" (too large)" if large else ""), spoken)
        if left:
            todo, too_large = todo + 1, too_large + large
            seconds += 0.0 if cost is None else cost.seconds * len(left) / len(rates_of(cell))
    out.print(table)
    say(
        f"{len(cells)} cells, {todo} to do: about {_duration(seconds)} on this machine ({speed / 1e9:.0f} GFLOP/s), "
        "which may be two or three times more or less; ~ marks what no finished cell has measured."
    )
    if too_large:
        say(f"{too_large} of them do not fit: {of} has {available / 2**30:.0f} GiB.")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _numbers(text: str | None, option: str, kind: type[_Number]) -> list[_Number]:
    try:
        return [kind(part) for part in _listed(text)]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise ConfigError(f"{option} {text!r} are no {what}.", "Expected them with commas between.") from None
