"""Tables and chart of `training.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLOURS = {"predgen": "#0072B2", "hf": "#999999", "trl": "#E69F00", "released": "#D55E00"}


def tables(records: list[dict[str, Any]], reference: str) -> str:
    """Markdown: one table for each precision, with and without checkpointing; a row a case, a column a system."""
    parts = []
    for precision, checkpointing in dict.fromkeys((each["precision"], each["checkpointing"]) for each in records):
        mine = [each for each in records if (each["precision"], each["checkpointing"]) == (precision, checkpointing)]
        systems = list(dict.fromkeys(each["system"] for each in mine))
        lines = [
            f"{precision}, {'with' if checkpointing else 'without'} gradient checkpointing: time over {reference}'s by "
            "the clock / of the processor; in brackets the peak memory's ratio; then the share of the rate of large "
            "matrix products\n",
            "| case | " + " | ".join(systems) + " |",
            "| --- " * (1 + len(systems)) + "|",
        ]
        for case in dict.fromkeys(each["case"] for each in mine):
            found = {each["system"]: each for each in mine if each["case"] == case}
            cells = [_cell(found[name], found[reference]) if name in found else "–" for name in systems]
            lines.append(f"| {case} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _cell(record: dict[str, Any], reference: dict[str, Any]) -> str:
    memory = "" if record["peak_mb"] is None else f" ({record['peak_mb'] / reference['peak_mb']:.2f})"
    return f"{record['ratio']:.2f} / {record['processor_ratio']:.2f}{memory} {record['processor_share']:.0%}"


def chart(records: list[dict[str, Any]], reference: str, on_gpu: bool, path: Path) -> None:
    """Ratios without checkpointing, of processor time or, on a GPU, by the clock: a panel a case and precision."""
    from matplotlib.figure import Figure

    ratio_of, middle_of, least_of, most_of = (
        ("ratio", "median_s", "min_s", "max_s")
        if on_gpu
        else ("processor_ratio", "processor_s", "processor_min_s", "processor_max_s")
    )
    shown = [record for record in records if not record["checkpointing"]]
    cases = list(dict.fromkeys(record["case"] for record in shown))
    precisions = list(dict.fromkeys(record["precision"] for record in shown))
    systems = list(dict.fromkeys(record["system"] for record in shown))
    most = max(record[ratio_of] for record in shown)
    figure = Figure(figsize=(2.2 + 2.5 * len(cases), 0.7 + 0.26 * len(systems) * len(precisions)), layout="constrained")
    panels = figure.subplots(len(precisions), len(cases), squeeze=False, sharex=True, sharey=True)
    for row, precision in enumerate(precisions):
        for column, case in enumerate(cases):
            axes = panels[row][column]
            mine = [each for each in shown if each["precision"] == precision and each["case"] == case]
            if not mine:  # not measured yet
                axes.set_axis_off()
                continue
            places = [systems.index(each["system"]) for each in mine]
            ratios = [each[ratio_of] for each in mine]
            middle = next(each[middle_of] for each in mine if each["system"] == reference)
            spread = [
                [max(0.0, r - each[least_of] / middle) for r, each in zip(ratios, mine, strict=True)],
                [max(0.0, each[most_of] / middle - r) for r, each in zip(ratios, mine, strict=True)],
            ]
            axes.barh(
                places, ratios, xerr=spread, color=[COLOURS[each["system"].split()[0]] for each in mine], height=0.7,
                error_kw={"elinewidth": 0.8, "ecolor": "#333333"},
            )  # fmt: skip
            for place, ratio, above in zip(places, ratios, spread[1], strict=True):
                axes.text(
                    ratio + above + 0.02 * most, place, f"{ratio:.2f}", va="center", fontsize=7,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
                )  # fmt: skip
            axes.axvline(1.0, color="#333333", linewidth=0.8, linestyle=":")
            axes.set_yticks(range(len(systems)), systems, fontsize=8)
            axes.tick_params(axis="x", labelsize=8)
            axes.locator_params(axis="x", nbins=5)
            axes.set_xlim(0, most * 1.2)
            axes.set_title(f"{case.replace(', ', ' · ')}, {precision}", fontsize=8)
            axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].invert_yaxis()
    figure.supxlabel(f"{'time' if on_gpu else 'processor time'} of a step, over {reference}'s", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
