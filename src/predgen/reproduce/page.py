"""One self-contained HTML page of a table's blocks, with a picture of each."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from predgen.metrics import METRICS
from predgen.reproduce.averages import Average
from predgen.reproduce.lines import Block, Line, Shown, direction
from predgen.reproduce.pictures import picture
from predgen.reproduce.scales import find_scale
from predgen.reproduce.tables import FLAG, LEGEND, average_title, block_title, number

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #e3e3e3; text-align: left; }
td.number { text-align: right; white-space: nowrap; }
tr.paper, tr.published { color: #555; background: #fafafa; }
tr.constant { color: #777; }
.best { font-weight: 700; }
.flag { color: #b33; cursor: help; }
img { max-width: 100%; }
small { color: #666; }
"""


def page(title: str, blocks: Sequence[Block], averages: Sequence[Average] = ()) -> str:
    """The page.

    Args:
        title: Of the page.
        blocks: In order.
        averages: In front of them.
    """
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f"<p><small>{escape(LEGEND.replace('**', ''))}</small></p>",
    ]
    for average in averages:
        parts += [f"<h2>{escape(average_title(average))}</h2>", _table(average.metrics, average.lines)]
    scale = ""
    for block in blocks:
        if block.scale != scale:
            scale = block.scale
            parts.append(f"<h2>Scale {escape(scale)}: {escape(find_scale(scale).title)}</h2>")
        parts += [f"<h3>{escape(block_title(block))}</h3>", _table(block.metrics, block.lines)]
        if drawn := picture(block):
            parts.append(f'<img alt="{escape(METRICS[block.judged].title)} of each line" src="{drawn}">')
        parts += [_decisions(block)] if len(block.by_decision) > 1 else []
        parts += [f"<p><small>{escape(note)}</small></p>" for note in block.notes]
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _table(metrics: Sequence[str], lines: Sequence[Line]) -> str:
    heads = "".join(f"<th>{escape(METRICS[metric].title)} {direction(metric)}</th>" for metric in metrics)
    rows = [f"<tr><th>method or system</th><th>model</th><th>PEFT</th><th>decision</th><th>seeds</th>{heads}</tr>"]
    for line in lines:
        title = escape(line.title)
        if line.source.startswith("http") and " " not in line.source:
            title = f'<a href="{escape(line.source)}">{title}</a>'
        elif line.source:
            title += f" <small>({escape(line.source)})</small>"
        numbers = "".join(f'<td class="number">{_number(line.values.get(metric))}</td>' for metric in metrics)
        facts = "".join(f"<td>{escape(text)}</td>" for text in (line.model, line.peft, line.decision))
        rows.append(f'<tr class="{line.kind}"><td>{title}</td>{facts}<td>{line.seeds or ""}</td>{numbers}</tr>')
    return "<table>" + "\n".join(rows) + "</table>"


def _number(shown: Shown | None) -> str:
    if shown is None:
        return "–"
    text = escape(number(shown))
    if shown.mark == "best":
        text = f'<span class="best">{text}</span>'
    if shown.mark == "noise":
        text += " ≈"
    return text + (f'<span class="flag" title="{escape(shown.reason)}">{FLAG}</span>' if shown.flag else "")


def _decisions(block: Block) -> str:
    names = list(dict.fromkeys(decision for row in block.by_decision.values() for decision in row))
    rows = [f"<tr><th>{escape(METRICS[block.judged].title)}</th>" + "".join(f"<th>{n}</th>" for n in names) + "</tr>"]
    for title, found in block.by_decision.items():
        cells = "".join(f'<td class="number">{_number(found.get(n))}</td>' for n in names)
        rows.append(f"<tr><td>{escape(title)}</td>{cells}</tr>")
    return "<details><summary>Under the same decision</summary><table>" + "\n".join(rows) + "</table></details>"
