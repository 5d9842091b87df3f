"""The command line: parse, call one function, print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer
from rich.console import Console
from rich.markup import escape

from predgen.commands.compare import compare
from predgen.commands.evaluate import evaluate
from predgen.commands.fit import fit
from predgen.commands.information import explain, information
from predgen.commands.known import list_data, list_peft, models, show_tasks
from predgen.commands.predict import predict
from predgen.commands.report import report
from predgen.commands.reproduce import reproduce
from predgen.commands.run_folder import export, show
from predgen.commands.serve import serve
from predgen.commands.tune import tune
from predgen.errors import Interrupted, PredgenError
from predgen.terminal import hush_known_warnings, rank

app = typer.Typer(
    help="Labels and numbers from text, by generating them with a fine-tuned language model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# In the order in which `predgen --help` lists them.
_COMMANDS: tuple[tuple[str | None, Callable[..., None]], ...] = (
    *((None, command) for command in (fit, predict, evaluate, compare, show, export)),
    *(("peft", list_peft), ("models", models), ("data", list_data), ("tasks", show_tasks)),
    *((None, command) for command in (report, serve, explain, information, tune, reproduce)),
)
for name, command in _COMMANDS:
    app.command(name=name)(command)


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
