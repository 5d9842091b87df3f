"""The command `predgen predict`."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from pathlib import Path
from typing import Annotated

import typer

from predgen.commands.options import DataRoot, PrecisionOption, TrustRemoteCode, refuse_auto, say
from predgen.errors import DataError, Interrupted, nearest
from predgen.terminal import writable


def predict(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    data: Annotated[str, typer.Argument(help="Rows to predict, as for fit.")],
    out_file: Annotated[str, typer.Option("--out", help="JSON lines to write, one object a row, in order.")],
    decision: Annotated[
        str | None, typer.Option(help="A decision of the run (its evaluation lists them); the best on dev by default.")
    ] = None,
    level: Annotated[float, typer.Option(help="The share of new rows that intervals and sets are to hold.")] = 0.9,
    top: Annotated[int | None, typer.Option(help="Labels: list so many of the likeliest; all by default.")] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help="Labels: LABEL=P chooses it from that probability on; again for more.")
    ] = None,
    costs: Annotated[
        str | None, typer.Option(help='Labels: JSON file {"true": {"predicted": cost}}; the least expected cost wins.')
    ] = None,
    abstain_below: Annotated[
        float | None, typer.Option(help="Labels: null where the chosen label's probability is below.")
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option(help="Numbers: conformal (around the prediction), or the posterior's: central, highest."),
    ] = None,
    quantile: Annotated[
        list[float] | None, typer.Option(help="Numbers: a quantile, e.g. 0.25; again for more.")
    ] = None,
    above: Annotated[
        list[float] | None, typer.Option(help="Numbers: the probability of exceeding this; again for more.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Free numbers: draw so many answers a row; their shares are its distribution.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="Free numbers: of the answers drawn.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Free numbers: of the answers drawn.")] = 0,
    resume: Annotated[
        bool, typer.Option(help="Go on where an earlier run of this command was stopped; begin where there was none.")
    ] = False,
    data_root: DataRoot = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Most rows a pass.")] = 32,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Most tokens a pass.")] = 16_384,
    precision: PrecisionOption = "fp32",
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Predict every row of a table, however long, in constant memory."""
    from predgen.data.schema import option_columns
    from predgen.data.stream import stream_rows
    from predgen.data.templates import template_fields
    from predgen.progress import counting
    from predgen.training.run_folder import RECORD, read_checked

    target = writable(out_file, data)
    record = read_checked(Path(run))
    style = record["config"]["space"].get("style", "labels")  # older runs know of one
    own = option_columns(record["config"]["data"].get("options"), style)
    fields = [*template_fields(record["template"]), *own]
    rows = stream_rows(data, data_root)
    first = list(itertools.islice(rows, 1000))
    if not first:
        raise DataError(f"{data} holds no rows.", "Expected at least one.")
    columns = {name: None for row in first if isinstance(row, dict) for name in row}
    for field in fields:
        # One row without a column is that row's error; a table without it is a wrong table.
        if field not in columns:
            raise DataError(f"{data} has no column {field!r}, which this run reads:", nearest(field, columns))
    from predgen.base_run import BaseRun
    from predgen.decoding.options import PredictOptions, interval_kind, read_costs, read_thresholds
    from predgen.downloads import sha256_of
    from predgen.journal import Journal
    from predgen.loading import load
    from predgen.precision import precision_of, with_precision
    from predgen.processes import join_processes, leave_processes

    processes = join_processes()
    refuse_auto(precision, processes.count)
    options = PredictOptions(
        decision=decision,
        level=level,
        top=top,
        thresholds=read_thresholds(threshold or ()),
        costs=None if costs is None else read_costs(costs),
        abstain_below=abstain_below,
        interval=None if interval is None else interval_kind(interval),
        quantiles=tuple(quantile or ()),
        above=tuple(above or ()),
        samples=samples,
        temperature=temperature,
        seed=seed,
    )
    journal = Journal(target)
    file = Path(data).expanduser()
    facts = {
        "run": sha256_of(Path(run) / RECORD),
        "rows": sha256_of(file) if file.is_file() else data,
        "options": json.dumps(dataclasses.asdict(options), sort_keys=True),
    }
    loaded: BaseRun = load(run, batch_size, trust_remote_code, batch_tokens).shared_by(processes)
    loaded.check(options)
    begun = journal.begun().get("precision") if resume else None
    with processes.watching(lambda: "while rows were predicted", "Repeat the command with --resume."):
        loaded = with_precision(loaded, begun if begun and precision == "auto" else precision, first, say)
        facts["precision"] = precision_of(loaded)
        done = processes.gathered(journal.start(facts, resume) if processes.main else 0)[0]
        if done:
            say(f"Going on behind {done} rows.")
        started = time.perf_counter()
        todo = itertools.islice(itertools.chain(first, rows), done, None)
        try:
            with counting("rows", None) as progress:
                for window in loaded.stream(todo, options, first=done, progress=progress):
                    if processes.main:
                        journal.write(window)
        except KeyboardInterrupt:
            raise Interrupted(
                f"Stopped. {journal.rows} rows are kept.", remedy="Go on with the same command and --resume."
            ) from None
        processes.wait()
    leave_processes()
    if not processes.main:
        return
    journal.finish()
    speed = (journal.rows - done) / (time.perf_counter() - started)
    counts = f"{journal.rows - journal.errors} predictions, {journal.errors} rows with an error"
    say(f"{counts}: {target}  ({speed:.3g} rows a second)")
