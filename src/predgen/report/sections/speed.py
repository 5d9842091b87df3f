"""How fast it is, here and when it was trained."""

from __future__ import annotations

import statistics

import torch

from predgen.report.blocks import Facts, Listing, Section
from predgen.report.material import Material
from predgen.report.text import count, number
from predgen.run import Run


def speed_section(material: Material) -> Section:
    """Rows and tokens a second of scoring and of training."""
    judged, run = material.judged, next(iter(material.run.parts.values()))
    tokens = sum(map(len, run.encoder.rows(judged.rows.bodies).prompts))
    rows, seconds = len(judged.rows), max(judged.seconds, 1e-9)
    trained = [line["rows_per_second"] for line in material.log if line.get("rows_per_second")]
    learned = sum(parameter.numel() for parameter in run.method.parameters())
    pairs = [
        ("Scoring", f"{number(rows / seconds)} rows a second, {number(tokens / seconds)} prompt tokens a second: "
                    f"{count(rows, 'row')} in {number(seconds)} s, {count(run.batch_size, 'row')} a pass at most"),
        ("Where", _device(run)),
        ("Model", f"{number(learned / 1e6)} million parameters"),
        ("Training", f"{number(statistics.median(trained))} rows a second (median)" if trained else "not logged"),
    ]  # fmt: skip
    note = "Scoring is timed once, the first pass included, on whatever else this computer was doing."
    return Section("Speed", [Facts(pairs), Listing([note])])


def _device(run: Run) -> str:
    device = next(run.method.parameters()).device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type.upper()}, {count(torch.get_num_threads(), 'thread')}"
