"""Blocks as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from predgen.metrics import METRICS
from predgen.reproduce.averages import Average
from predgen.reproduce.lines import Block, Line, Shown, direction
from predgen.reproduce.scales import find_scale

LEGEND = (
    "Ours: mean ± standard deviation over training seeds, under the decision that each run's dev rows chose. **Bold**: "
    "the best of its model and PEFT method; ≈: not told apart from it (the 95% interval of a paired bootstrap over "
    "rows and the seeds that both have holds 0), or ahead with those seeds; no mark: behind it, or not compared. †: a "
    "printed number that cannot be right, with its reason. Accuracy and exact match are shares of 1."
)
SYMBOLS = {"best": "**{}**", "noise": "{} ≈", "behind": "{}", "": "{}"}
FLAG = "†"
_CSV = "scale task split rows whose method model peft decision seeds metric value spread mark flag reason source"


def markdown(title: str, blocks: Sequence[Block], averages: Sequence[Average] = ()) -> str:
    """A page of tables, one a block.

    Args:
        title: Of the page.
        blocks: In order.
        averages: In front of them.
    """
    return "\n".join([f"# {title}", "", LEGEND, *sections(blocks, averages)]) + "\n"


def sections(blocks: Sequence[Block], averages: Sequence[Average] = (), level: int = 2) -> list[str]:
    """The lines of a page below its title.

    Args:
        blocks: In order.
        averages: In front of them.
        level: Of the headings; a block's is one deeper.
    """
    mark, lines = "#" * level, list[str]()
    for average in averages:
        lines += ["", f"{mark} {average_title(average)}", "", *_table(average.metrics, average.lines)]
        lines += _footnotes(average.lines)
    scale = ""
    for block in blocks:
        if block.scale != scale:
            scale = block.scale
            lines += ["", f"{mark} Scale {scale}: {find_scale(scale).title}"]
        lines += ["", f"{mark}# {block_title(block)}", "", *_table(block.metrics, block.lines)]
        lines += _footnotes(block.lines)
        if len(block.by_decision) > 1:
            lines += ["", f"{METRICS[block.judged].title} under the same decision:", "", *_decisions(block)]
        lines += ["", *(f"- {note}" for note in block.notes)] if block.notes else []
    return lines


def average_title(average: Average) -> str:
    """Which mean it is."""
    return (
        f"Mean over {len(average.tasks)} sets ({', '.join(average.tasks)}): {average.model}, {average.peft}, scale "
        f"{average.scale}"
    )


def block_title(block: Block) -> str:
    """The task, and the rows that were scored."""
    return f"{block.task}, {block.rows} {block.split} rows: {block.title}"


def _table(metrics: Sequence[str], lines: Sequence[Line]) -> list[str]:
    heads = [f"{METRICS[metric].title} {direction(metric)}" for metric in metrics]
    rows = [
        "| whose | method or system | model | PEFT | decision | seeds | " + " | ".join(heads) + " |",
        "| --- " * (6 + len(metrics)) + "|",
    ]
    for line in lines:
        numbers = [_marked(line.values.get(metric)) for metric in metrics]
        seeds = str(line.seeds) if line.seeds else ""
        title = (
            f"[{line.title}]({line.source})"
            if line.source.startswith("http") and " " not in line.source
            else line.title
        )
        cells = [_whose(line), title, line.model, line.peft, line.decision, seeds, *numbers]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _whose(line: Line) -> str:
    return {"ours": "ours", "constant": "", "paper": f"paper, {line.source}", "published": "published"}[line.kind]


def _marked(shown: Shown | None) -> str:
    if shown is None:
        return "–"
    return SYMBOLS[shown.mark].format(number(shown)) + (FLAG if shown.flag else "")


def number(shown: Shown) -> str:
    """Three decimals, its spread behind it."""
    if math.isnan(shown.value):
        return "–"
    return f"{shown.value:.3f}" + (f" ± {shown.spread:.3f}" if shown.spread is not None else "")


def _footnotes(lines: Sequence[Line]) -> list[str]:
    reasons = dict.fromkeys(
        f"{FLAG} {line.title}{', ' + line.model if line.model else ''}: {shown.reason}"
        for line in lines
        for shown in line.values.values()
        if shown.flag
    )
    return ["", *(f"{reason}.  " for reason in reasons)] if reasons else []


def _decisions(block: Block) -> list[str]:
    names = list(dict.fromkeys(decision for row in block.by_decision.values() for decision in row))
    rows = ["| method | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|"]
    for title, found in block.by_decision.items():
        shown = [_marked(found.get(name)) for name in names]
        rows.append(f"| {title} | " + " | ".join(shown) + " |")
    return rows


def as_csv(blocks: Sequence[Block]) -> str:
    """One line a number, so that other programs can sort and draw them."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_CSV.split())
    for block in blocks:
        for line in block.lines:
            for metric, shown in line.values.items():
                facts = [block.scale, block.task, block.split, block.rows, line.kind, line.title, line.model, line.peft]
                found = [line.decision, line.seeds or "", metric, f"{shown.value:.6g}"]
                spread = "" if shown.spread is None else f"{shown.spread:.6g}"
                writer.writerow([*facts, *found, spread, shown.mark, shown.flag, shown.reason, line.source])
    return file.getvalue()


def latex(title: str, blocks: Sequence[Block], averages: Sequence[Average] = ()) -> str:
    """One tabular a block, for the booktabs package.

    Args:
        title: A comment in front.
        blocks: In order.
        averages: In front of them.
    """
    parts = [f"% {_tex(title)}", "% needs \\usepackage{booktabs}"]
    parts += [_tabular(average_title(average), average.metrics, average.lines) for average in averages]
    parts += [_tabular(f"{block_title(block)}, scale {block.scale}", block.metrics, block.lines) for block in blocks]
    return "\n\n".join(parts) + "\n"


def _tabular(caption: str, metrics: Sequence[str], lines: Sequence[Line]) -> str:
    heads = " & ".join(f"{_tex(METRICS[metric].title)}" for metric in metrics)
    rows = [
        "\\begin{table}",
        f"\\caption{{{_tex(caption)}}}",
        f"\\begin{{tabular}}{{lll{'r' * len(metrics)}}}",
        "\\toprule",
        f"Method & Model & PEFT & {heads} \\\\",
        "\\midrule",
    ]
    kind = lines[0].kind if lines else ""
    for line in lines:
        if line.kind != kind:
            kind = line.kind
            rows.append("\\midrule")
        title = f"{line.title} ({line.decision})" if line.decision else line.title
        title = f"{title} (paper)" if line.kind == "paper" else title
        numbers = [_tex_number(line.values.get(metric)) for metric in metrics]
        rows.append(" & ".join([_tex(title), _tex(line.model), _tex(line.peft), *numbers]) + " \\\\")
    return "\n".join([*rows, "\\bottomrule", "\\end{tabular}", "\\end{table}"])


def _tex_number(shown: Shown | None) -> str:
    if shown is None or math.isnan(shown.value):
        return "--"
    text = f"{shown.value:.3f}"
    text = f"\\mathbf{{{text}}}" if shown.mark == "best" else text
    spread = "" if shown.spread is None else f" \\pm {shown.spread:.3f}"
    mark = "^{\\approx}" if shown.mark == "noise" else "^{\\dagger}" if shown.flag else ""
    return f"${text}{spread}{mark}$"


def _tex(text: str) -> str:
    signs = {"&": "\\&", "%": "\\%", "_": "\\_", "#": "\\#", "$": "\\$", "²": "$^2$", "≈": "$\\approx$", "→": "$\\to$"}
    signs |= {"−": "$-$", "{": "\\{", "}": "\\}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    return "".join(signs.get(character, character) for character in text)
