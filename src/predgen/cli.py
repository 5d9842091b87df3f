"""The command line: parse, call one function, print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from predgen.cli_information import explain, information
from predgen.cli_report import report
from predgen.cli_reproduce import reproduce
from predgen.cli_serve import serve
from predgen.cli_tune import tune
from predgen.errors import ConfigError, DataError, Interrupted, PredgenError, nearest
from predgen.terminal import hush_known_warnings, open_console, rank, writable

# Only here: a settings file or a run folder from elsewhere must not be able to switch it on.
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run code that comes with the model; only if you trust it.")
]
PrecisionOption = Annotated[
    str,
    typer.Option(help="fp32, bf16, or auto: bf16 where the CPU has it and is faster and agrees on the first rows."),
]

DataRoot = Annotated[
    str | None,
    typer.Option(help="A folder of data, <root>/<task>/<split>.jsonl.gz (docs/tasks.md); else PREDGEN_DATA names it."),
]

app = typer.Typer(
    help="Labels and numbers from text, by generating them with a fine-tuned language model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out = open_console()


@app.command()
def fit(
    data: Annotated[
        str | None, typer.Argument(help="A csv, tsv or jsonl file, or a name from `predgen data` or `tasks`.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="The text column.")] = None,
    template: Annotated[str | None, typer.Option(help='Several columns: "Headline: {a}\\nEdited: {b}".')] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="The column to predict; again for more, which make a record.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="auto, classification, regression or multilabel.")] = None,
    method: Annotated[str | None, typer.Option(help="predgen, generator or predictor.")] = None,
    model: Annotated[str | None, typer.Option(help="A name from `predgen models`, a hub id, or a path.")] = None,
    peft: Annotated[str | None, typer.Option(help="The PEFT method, e.g. lora.")] = None,
    out_folder: Annotated[str | None, typer.Option("--out", help="The run folder to write.")] = None,
    dev: Annotated[str | None, typer.Option(help="Rows that select the checkpoint; else a part of DATA.")] = None,
    eval_data: Annotated[str | None, typer.Option("--eval", help="Rows to report on; else a part of DATA.")] = None,
    data_root: DataRoot = None,
    max_rows: Annotated[int | None, typer.Option(help="Use a seeded sample of DATA.")] = None,
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
    from predgen.config import load_config

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
        say=_say,
        trust_remote_code=trust_remote_code,
        resume=resume,
        accept_changes=accept_changes,
        start_from=start_from,
    )
    dev_result = fitted.metrics["dev"]
    _say(
        f"Best on dev: {dev_result['metric']} {dev_result['value']:.4f} at step {dev_result['step']}, "
        f"decision {_decisions(dev_result)}."
    )
    if "test" in fitted.metrics:
        from predgen.printing import print_evaluation

        print_evaluation(fitted.metrics["test"], "test rows, used for nothing else", out)
    leave_processes()
    _say(f"Run folder: {fitted.folder}  (predgen show {fitted.folder})")


@app.command()
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

    target = writable(out_file)
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
    _refuse_auto(precision, processes.count)
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
        loaded = with_precision(loaded, begun if begun and precision == "auto" else precision, first, _say)
        facts["precision"] = precision_of(loaded)
        done = processes.gathered(journal.start(facts, resume) if processes.main else 0)[0]
        if done:
            _say(f"Going on behind {done} rows.")
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
    _say(f"{counts}: {target}  ({speed:.3g} rows a second)")


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    data: Annotated[str, typer.Argument(help="Rows with targets, as for fit.")],
    json_file: Annotated[str | None, typer.Option("--json", help="Write the metrics here.")] = None,
    split: Annotated[
        str, typer.Option(help="Rows of the data the run was fitted on: auto (its test rows), test, dev, train, all.")
    ] = "auto",
    data_root: DataRoot = None,
    batch_size: Annotated[int, typer.Option(help="Rows a pass.")] = 32,
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

    target = writable(json_file) if json_file else None
    processes = join_processes()
    _refuse_auto(precision, processes.count)

    def load_run() -> BaseRun:
        return load(run, batch_size, trust_remote_code).shared_by(processes)

    watched = processes.watching(lambda: "while rows were scored", "Repeat the command.")
    with counting("rows", None) as progress, watched:
        evaluation = evaluate_source(Path(run), load_run, data, split, _say, progress, precision, data_root)
        processes.wait()
    leave_processes()
    print_evaluation(evaluation.to_json(), f"rows of {data}", out)
    if target and processes.main:
        write_json(target, evaluation.to_json())
        _say(f"Metrics: {target}")


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(help="Two or more run folders, then DATA.")],
    metric: Annotated[
        str | None, typer.Option(help="What to compare by; else what the first run was selected by.")
    ] = None,
    split: Annotated[str, typer.Option(help="As for evaluate.")] = "auto",
    resamples: Annotated[int, typer.Option(help="Of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    out_folder: Annotated[str, typer.Option("--out", help="Where the picture and the numbers go.")] = "runs/comparison",
    data_root: DataRoot = None,
    batch_size: Annotated[int, typer.Option(help="Rows a pass.")] = 32,
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
    _say(
        f"{comparison.rows} rows, {comparison.resamples} paired resamples, seed {comparison.seed}; differences are to "
        "the first run. Training chance is not in these intervals: compare several seeds."
    )
    for note in comparison.notes:
        _say(note)
    write_json(target, comparison.to_json())
    picture = target.with_name("comparison.png")
    comparison_of_runs(comparison.to_json(), picture)
    _say(f"Picture: {picture}")


@app.command()
def show(run: Annotated[str, typer.Argument(help="A run folder.")]) -> None:
    """What was trained on what, how, and how well."""
    from predgen.printing import print_evaluation, print_facts
    from predgen.training.run_folder import METRICS, read_json

    folder = Path(run)
    print_facts(folder, out)
    metrics = read_json(folder, METRICS)
    if "test" in metrics:
        print_evaluation(metrics["test"], "test rows, used for nothing else", out)


@app.command()
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

    run_export(Path(run), Path(out_folder), merged, _say, trust_remote_code)


@app.command(name="peft")
def list_peft(
    model: Annotated[str | None, typer.Option(help="Count what learns of this model, as for fit.")] = None,
    rank: Annotated[int, typer.Option(min=1, help="peft.rank.")] = 8,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any peft setting: peft.rocoft.axis=columns. Repeatable.")
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """List the PEFT methods: what each learns, and how much of a model that is."""
    from predgen.config import load_config
    from predgen.peft_methods.listing import listed

    config = load_config(None, [f"peft.rank={rank}", *(set_ or [])]).peft
    methods = listed(model, config, trust_remote_code)
    counted = [] if model is None else ["learn"]
    table = Table("name", "in the place of W", *counted, "paper", "peft")
    for one in methods:
        number = [] if model is None else ["–" if one.parameters is None else f"{one.parameters:,}"]
        table.add_row(one.method.name, escape(one.method.formula), *number, one.method.paper, one.method.library)
    out.print(table)
    for one in methods:
        if one.problem:
            _say(f"{one.method.name}: {one.problem}")
    targets = config.target_modules if isinstance(config.target_modules, str) else ", ".join(config.target_modules)
    _say(
        f"Rank {config.rank} on {targets}; directors and heads come on top. 'ours': import predgen.peft_methods first."
    )
    if model is None:
        _say("--model NAME adds how many parameters learn.")


@app.command()
def models() -> None:
    """List the base models that are known by name."""
    from predgen.model.bases import NAMED_BASES

    table = Table("name", "what", "parameters", "download", "source", "licence")
    for base in NAMED_BASES.values():
        table.add_row(base.name, base.description, base.parameters, f"{base.download_mb} MB", base.source, base.licence)
    out.print(table)
    _say("Any other causal language model goes by hub id (owner/name) or local path.")


@app.command(name="data")
def list_data() -> None:
    """List the data sets that are known by name."""
    from predgen.data.sources import SOURCES

    table = Table("name", "what", "rows", "columns", "source", "licence")
    for source in SOURCES.values():
        columns = f"{source.text_column} → {source.target_column}"
        table.add_row(source.name, source.description, f"{source.rows:,}", columns, source.origin, source.licence)
    out.print(table)
    _say("A csv, tsv or jsonl file goes by its path; the paper's data sets: predgen tasks.")


@app.command(name="tasks")
def show_tasks(
    name: Annotated[str | None, typer.Argument(help="A task: print all that is known of it.")] = None,
    data_root: DataRoot = None,
) -> None:
    """List the paper's data sets, or print one's card."""
    from predgen.data.tasks import find
    from predgen.data.tasks.card import card, listed
    from predgen.data.tasks.root import data_root as root_of

    root = root_of(data_root)
    if name is not None:
        _say(card(find(name), root))
        return
    table = Table("name", "kind", "rows", "answers", "metric", "reported")
    for row in listed(root):
        table.add_row(*map(escape, row))
    out.print(table)
    if root is None:
        _say("Rows are those published; --data-root or PREDGEN_DATA names a folder of data, and its rows are counted.")
    _say("predgen tasks NAME prints prompt, splits and leaks; predgen fit NAME trains on it (docs/tasks.md).")


# Behind those above, in the order in which `predgen --help` lists them.
for command in (report, serve, explain, information, tune, reproduce):
    app.command()(command)


def _decisions(dev_result: dict[str, Any]) -> str:
    """The default decision, or those of a record's fields."""
    fields = dev_result.get("fields", {})
    return ", ".join(f"{name}: {field['decision']}" for name, field in fields.items()) or str(dev_result["decision"])


def _refuse_auto(precision: str, processes: int) -> None:
    """Refuses to choose a precision by time where several processes would each measure their own.

    Raises:
        ConfigError: If it was asked for.
    """
    if precision == "auto" and processes > 1:
        raise ConfigError(
            f"--precision auto, and {processes} processes.", "They would not all choose the same.", "Say fp32 or bf16."
        )


def _say(line: str) -> None:
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Runs the command line; an error that a user can mend is one message on stderr, exit status 1."""
    hush_known_warnings()
    try:
        app()
    except Interrupted as stop:
        Console(stderr=True, quiet=rank() > 0).print(escape(str(stop)), soft_wrap=True, highlight=False)
        sys.exit(130)
    except PredgenError as problem:
        error = "Error" if rank() == 0 else f"Error in process {rank()}"
        Console(stderr=True).print(f"[bold red]{error}:[/] {escape(str(problem))}", soft_wrap=True, highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
