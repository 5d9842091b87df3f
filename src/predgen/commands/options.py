"""Options that several commands have, and what they have in common besides."""

from __future__ import annotations

from typing import Annotated

import typer

from predgen.errors import ConfigError
from predgen.terminal import open_console

out = open_console()

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

# What `fit` and `tune` ask of the rows and the model.
TextColumn = Annotated[str | None, typer.Option(help="The text column.")]
RowTemplate = Annotated[str | None, typer.Option(help='Several columns: "Headline: {a}\\nEdited: {b}".')]
Target = Annotated[list[str] | None, typer.Option(help="The column to predict; again for more, which make a record.")]
TaskKind = Annotated[str | None, typer.Option(help="auto, classification, regression or multilabel.")]
ModelName = Annotated[str | None, typer.Option(help="A name from `predgen models`, a hub id, or a path.")]
EvalRows = Annotated[str | None, typer.Option("--eval", help="Rows to report on; else a part of DATA.")]
MaxRows = Annotated[int | None, typer.Option(help="Use a seeded sample of DATA.")]


def refuse_auto(precision: str, processes: int) -> None:
    """Refuses to choose a precision by time where several processes would each measure their own.

    Raises:
        ConfigError: If it was asked for.
    """
    if precision == "auto" and processes > 1:
        raise ConfigError(
            f"--precision auto, and {processes} processes.", "They would not all choose the same.", "Say fp32 or bf16."
        )


def say(line: str) -> None:
    """Prints a line as it is."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)
