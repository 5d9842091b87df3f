"""Commands that list what goes by name: `predgen peft`, `models`, `data`, `tasks`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from predgen.commands.options import DataRoot, TrustRemoteCode, out, say


def list_peft(
    model: Annotated[str | None, typer.Option(help="Count what learns of this model, as for fit.")] = None,
    rank: Annotated[int, typer.Option(min=1, help="peft.rank.")] = 8,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any peft setting: peft.rocoft.axis=columns. Repeatable.")
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """List the PEFT methods: what each learns, and how much of a model that is."""
    from predgen.config_reading import load_config
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
            say(f"{one.method.name}: {one.problem}")
    targets = config.target_modules if isinstance(config.target_modules, str) else ", ".join(config.target_modules)
    say(f"Rank {config.rank} on {targets}; directors and heads come on top. 'ours': import predgen.peft_methods first.")
    if model is None:
        say("--model NAME adds how many parameters learn.")


def models() -> None:
    """List the base models that are known by name."""
    from predgen.model.bases import NAMED_BASES

    table = Table("name", "what", "parameters", "download", "source", "licence")
    for base in NAMED_BASES.values():
        table.add_row(base.name, base.description, base.parameters, f"{base.download_mb} MB", base.source, base.licence)
    out.print(table)
    say("Any other causal language model goes by hub id (owner/name) or local path.")


def list_data() -> None:
    """List the data sets that are known by name."""
    from predgen.data.sources import SOURCES

    table = Table("name", "what", "rows", "columns", "source", "licence")
    for source in SOURCES.values():
        columns = f"{source.text_column} → {source.target_column}"
        table.add_row(source.name, source.description, f"{source.rows:,}", columns, source.origin, source.licence)
    out.print(table)
    say("A csv, tsv, jsonl or parquet file goes by its path; the paper's data sets: predgen tasks.")


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
        say(card(find(name), root))
        return
    table = Table("name", "kind", "rows", "answers", "metric", "reported")
    for row in listed(root):
        table.add_row(*map(escape, row))
    out.print(table)
    if root is None:
        say("Rows are those published; --data-root or PREDGEN_DATA names a folder of data, and its rows are counted.")
    say("predgen tasks NAME prints prompt, splits and leaks; predgen fit NAME trains on it (docs/tasks.md).")
