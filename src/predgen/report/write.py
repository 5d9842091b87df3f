"""Page → one HTML file that loads nothing."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from predgen.base_run import BaseRun, Progress, silent
from predgen.errors import PredgenError
from predgen.report.assemble import assemble
from predgen.report.blocks import Page
from predgen.report.material import Wanted, gather

MOST_BYTES = 5_000_000


def write_report(
    folder: Path,
    load_run: Callable[[], BaseRun],
    path: Path,
    wanted: Wanted,
    command: str,
    say: Callable[[str], None],
    progress: Progress = silent,
) -> int:
    """Judges a run and writes its report.

    Args:
        folder: The run folder.
        load_run: Loads it; called once the rows are known to be there.
        path: The HTML file.
        wanted: What is asked for.
        command: How it was asked for; part of the report.
        say: Takes one line at a time.
        progress: Called with the number of rows done after each pass.

    Returns:
        The file's size in bytes.

    Raises:
        DataError: If there are no rows to judge the run on, or they cannot be read.
        RunFolderError: If the folder is no run.
    """
    page = render_page(assemble(gather(folder, load_run, wanted, say, progress), command, say))
    # A file's name may hold bytes that are no text, and what was scored should not be lost for that.
    html = page.encode("utf-8", "replace")
    if len(html) > MOST_BYTES:
        raise PredgenError(
            f"The report would have {len(html):,} bytes.",
            f"At most {MOST_BYTES:,} were expected.",
            "Ask for fewer slices.",
        )
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(html)
    temporary.replace(path)
    return len(html)


def render_page(page: Page) -> str:
    """The HTML of a page; everything in it is escaped that is not markup of ours."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("predgen.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (files("predgen.report") / "style.css").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(page=page, style=style)
