"""`predgen information` and `predgen explain`: parse, call one function, print."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from predgen.commands.options import DataRoot, TrustRemoteCode, out, say
from predgen.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from predgen.information.measure import Information
    from predgen.run import Run


def information(
    runs: Annotated[list[str] | None, typer.Argument(help="One or more run folders, then DATA.")] = None,
    figure: Annotated[
        str | None, typer.Option(help="A figure of the paper instead: fig2, fig3, fig7, fig8, fig10.")
    ] = None,
    estimator: Annotated[
        list[str] | None, typer.Option(help="mine, nwj, infonce, probe; again for more. mine and probe by default.")
    ] = None,
    components: Annotated[int, typer.Option(min=1, max=16, help="Principal components a token.")] = 10,
    prompt_tokens: Annotated[int, typer.Option(min=0, help="Last tokens of the prompt that are kept.")] = 4,
    answer_tokens: Annotated[int, typer.Option(min=0, help="First tokens of the own answer that are kept.")] = 4,
    max_rows: Annotated[int, typer.Option(min=1, help="A seeded sample of the rows that no run has seen.")] = 2000,
    seeds: Annotated[int, typer.Option(min=1, help="Fits of each estimator.")] = 3,
    sweep: Annotated[bool, typer.Option(help="Also for 1 to 16 components.")] = True,
    by_layer: Annotated[bool, typer.Option("--by-layer", help="Also for layers below the last.")] = False,
    field: Annotated[str | None, typer.Option(help="Of runs that give several answers, the one that is meant.")] = None,
    kind: Annotated[
        str | None, typer.Option("--representation", help="Insist on pooled or tokens; else each run's own.")
    ] = None,
    out_folder: Annotated[str, typer.Option("--out", help="Pictures and numbers go here.")] = "runs/information",
    data_root: DataRoot = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Most rows a pass.")] = 32,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """How much a method's states know of the target: predgen information RUN … DATA."""
    from predgen.data.tasks.root import data_root as root_of
    from predgen.information.estimate import ESTIMATORS, EstimateSettings
    from predgen.information.layout import Layout
    from predgen.information.measure import MeasureSettings, measure
    from predgen.information.one_answer import OneAnswer, one_answer
    from predgen.information.pictures import bars, components_curves, layer_curves
    from predgen.loading import load
    from predgen.progress import counting
    from predgen.training.run_folder import write_json

    estimators = tuple(estimator or ("mine", "probe"))
    for name in estimators:
        if name not in ESTIMATORS:
            raise ConfigError(f"Unknown estimator {name!r}:", nearest(name, ESTIMATORS))
    if kind not in (None, "pooled", "tokens"):
        raise ConfigError(f"Unknown representation {kind!r}:", nearest(str(kind), ("pooled", "tokens")))
    settings = MeasureSettings(
        layout=Layout(prompt_tokens, answer_tokens),
        components=components,
        estimators=estimators,
        estimate=EstimateSettings(seeds=tuple(range(seeds))),
        max_rows=max_rows,
        sweep=sweep,
        by_layer=by_layer,
        kind=kind,
    )
    folder = _output(out_folder)

    def load_run(path: Path) -> OneAnswer:
        return one_answer(load(path, batch_size, trust_remote_code), field)

    if figure is not None:
        from predgen.information.paper_figures import Workshop, draw_paper_figure

        if runs:
            raise ConfigError("--figure fits its own models, so that no runs are named with it.")
        if field is not None:
            raise ConfigError("--figure fits models of one answer, so that no field is named with it.")
        shop = Workshop(root_of(data_root), folder / "models", folder, load_run, say, counting)
        files, panels = draw_paper_figure(figure, settings, shop)
        for panel in panels:
            _print(panel)
        say(f"Written: {', '.join(map(str, files))}")
        return
    if runs is None or len(runs) < 2:
        raise ConfigError("Runs and data are missing.", "Expected: predgen information RUN [RUN …] DATA.")
    from predgen.data.sources import read_table

    *folders, data = runs
    found = measure([Path(run) for run in folders], load_run, read_table(data, root=data_root), settings, counting)
    _print(found)
    write_json(folder / "information.json", found.to_json())
    bars([found], folder / "fig2.png")
    if found.sweep:
        components_curves([found], folder / "fig7.png")
    if found.by_layer:
        layer_curves([found], folder / "layers.png")
    say(f"Pictures and numbers: {folder}")


def explain(
    run: Annotated[str, typer.Argument(help="A run folder.")],
    text: Annotated[str | None, typer.Argument(help="The text, where the run reads one column.")] = None,
    row: Annotated[str | None, typer.Option(help='Columns as JSON: \'{"a": "…", "b": "…"}\'.')] = None,
    field: Annotated[str | None, typer.Option(help="Of a run that gives several answers, the one to explain.")] = None,
    estimator: Annotated[str, typer.Option(help="occlusion, hidden, or gradients (needs captum).")] = "occlusion",
    budget: Annotated[
        str | None,
        typer.Option(help="Of occlusion, in plain predictions; all: every word alone. By default 8 above 20 words."),
    ] = None,
    faithful: Annotated[
        bool, typer.Option("--faithfulness/--no-faithfulness", help="Measure the map against random removal.")
    ] = True,
    out_folder: Annotated[str, typer.Option("--out", help="HTML, PNG and JSON go here.")] = "runs/explained",
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Which words decided an answer: predgen explain RUN "text"."""
    from predgen.information.faithfulness import faithfulness
    from predgen.information.one_answer import one_answer
    from predgen.information.render import legend, terminal_lines, write_html, write_png
    from predgen.information.token_map import MAP_ESTIMATORS, prompt_of
    from predgen.information.token_map import explain as make_map
    from predgen.loading import load
    from predgen.training.run_folder import write_json

    if estimator not in MAP_ESTIMATORS:
        raise ConfigError(f"Unknown estimator {estimator!r}:", nearest(estimator, MAP_ESTIMATORS))
    given, most = _row(text, row), _budget(budget, estimator)
    folder = _output(out_folder)
    loaded = one_answer(load(run, trust_remote_code=trust_remote_code), field).run
    prompted = prompt_of(loaded, given)
    made = make_map(loaded, given, estimator, prompted, most)
    # Without a distribution there is no change to be measured either.
    can_measure = faithful and not (estimator == "hidden" and not _has_distribution(loaded))
    true = faithfulness(loaded, prompted, made) if can_measure else None
    say(f"Answer: {made.answer}   ({made.method}, {made.estimator})")
    for line in terminal_lines(made):
        out.print(line)
    for note in [legend(made.columns), *made.notes, *([true.line()] if true else [])]:
        say(note)
    record = {**made.to_json(), "faithfulness": None if true is None else true.to_json()}
    write_json(folder / "explanation.json", record)
    write_html(made, true, folder / "explanation.html")
    write_png(made, true, folder / "explanation.png")
    say(f"Written: {folder / 'explanation.html'}, explanation.png and explanation.json beside it.")


def _has_distribution(run: Run) -> bool:
    from predgen.information.answers import check_explainable

    try:
        check_explainable(run)
    except ConfigError:
        return False
    return True


def _budget(asked: str | None, estimator: str) -> float | None:
    if asked is None:
        return None
    if estimator != "occlusion":
        raise ConfigError(f"--budget is of occlusion; --estimator {estimator} reads a text once.")
    if asked == "all":
        return math.inf
    try:
        budget = float(asked)
    except ValueError:
        budget = 0.0
    if not 1 < budget < math.inf:
        raise ConfigError(f"--budget {asked}.", "Expected a number of plain predictions above 1, or all.")
    return budget


def _row(text: str | None, row: str | None) -> Any:
    if (text is None) == (row is None):
        raise DataError("Nothing to explain, or two things.", "Expected a text, or --row with JSON.")
    if row is None:
        return text
    try:
        columns = json.loads(row)
    except json.JSONDecodeError as problem:
        raise DataError(f"--row is not JSON: {problem}.", 'Expected {"column": "value"}.') from None
    if not isinstance(columns, dict):
        raise DataError(f"--row holds a {type(columns).__name__}.", 'Expected {"column": "value"}.')
    return columns


def _output(folder: str) -> Path:
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigError(f"The folder {path} cannot be written: {problem.strerror}.") from problem
    return path


def _print(found: Information) -> None:
    table = Table("run", "states", "numbers", "estimator", "nats", "95%", "bits", "", title=found.data)
    for one in found.measured:
        made = one.estimate
        table.add_row(
            Path(one.run).name,
            one.representation,
            str(one.dimensions),
            made.estimator,
            f"{made.nats:.3f}",
            f"{made.low:.3f} – {made.high:.3f}",
            f"{made.bits:.3f}",
            "; ".join(made.flags),
        )
    out.print(table)
    for note in found.notes:
        say(note)
    ceiling = "" if found.ceiling is None else f" = {found.ceiling:.3f} nats"
    first = found.measured[0].estimate
    say(
        f"Tokens: {found.layout}. Ceiling: {found.cap}{ceiling}. Fitted on {first.fitted_on} rows, read off "
        f"{first.read_on} others, {len(first.seeds)} seeds. All are lower bounds; the probe's is what a linear decoder "
        "can use."
    )
