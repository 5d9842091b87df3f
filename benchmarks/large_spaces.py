"""Large answer spaces: time of a posterior over a pooled head's forward, peak memory, and what is covered.

Ratios of one process: medians over the repeats, the pooled head measured beside every case. The base model is as it
comes, and its logits are sharpened or not: how much a search opens depends on how sure the model is, and a model that
has learned nothing of the answers is the worst case. Peak memory is that of a fresh process per case.

    python benchmarks/large_spaces.py [--quick] [--repeats 3] --json benchmarks/results/large_spaces.json
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from predgen.answers.build import build_table
from predgen.answers.spaces import LabelSet, NumberGrid, Space
from predgen.answers.tables import AnswerTable
from predgen.config import SearchConfig
from predgen.decoding.decode import decode
from predgen.model.bases import load_base
from predgen.model.writer import Writer

PROMPT, ROWS, SEED = 128, 4, 0
CUE = "\nAnswer:"


def labels(count: int) -> LabelSet:
    """Made of three words each, so that they share beginnings."""
    words = ["river", "stone", "night", "paper", "green", "table", "cloud", "seven", "glass", "house", "apple", "metal"]
    words += ["under", "quiet", "sharp", "round", "empty", "early"]
    made = [f"{one} {two} {three}" for one in words for two in words for three in words if len({one, two, three}) > 1]
    return LabelSet(tuple(made[:count]))


CASES: dict[str, tuple[Callable[[], Space], float]] = {
    "grid 501": (lambda: NumberGrid(0, 500, 0), 1.0),
    "grid 10,000": (lambda: NumberGrid(0, 9_999, 0), 1.0),
    "grid 100,000": (lambda: NumberGrid(0, 99_999, 0), 1.0),
    "grid 100,000, logits × 2": (lambda: NumberGrid(0, 99_999, 0), 2.0),
    "grid 1,000,000": (lambda: NumberGrid(0, 999_999, 0), 1.0),
    "grid 1,000,000, logits × 2": (lambda: NumberGrid(0, 999_999, 0), 2.0),
    "labels 5,000": (lambda: labels(5_000), 1.0),
}
QUICK = ("grid 501", "grid 10,000", "labels 5,000")


def measure(case: str, repeats: int) -> dict[str, Any]:
    """One case; run in a process of its own."""
    space, sharper = CASES[case][0](), CASES[case][1]
    base = load_base("smollm2-135m")
    writer = Writer(base.model).eval()
    started = time.perf_counter()
    table = build_table(space, base.tokenizer, CUE, writer.vocabulary_size, search=SearchConfig())
    build = time.perf_counter() - started
    assert isinstance(table, AnswerTable)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ids = torch.randint(100, 40_000, (ROWS, PROMPT), generator=torch.Generator().manual_seed(SEED))
    mask = torch.ones_like(ids)
    if sharper != 1.0:
        # The norm's scale in front of the projection sharpens the logits, and nothing else.
        with torch.no_grad():
            writer.lm.model.norm.weight.mul_(sharper)
    heads, times, covered = list[float](), list[float](), None
    with torch.no_grad():
        writer.read(ids, mask)
        for _ in range(repeats):
            started = time.perf_counter()
            writer.read(ids, mask)
            heads.append(time.perf_counter() - started)
            started = time.perf_counter()
            scores = decode(writer, writer.prefill(ids, mask), table, "vocabulary").scores
            times.append(time.perf_counter() - started)
            covered = scores.covered
    return {
        "case": case,
        "answers": len(space.texts),
        "inner_nodes": int(table.inner.shape[0]),
        "how": "exact" if table.exact else "beam",
        "build_s": round(build, 2),
        "median_s": round(statistics.median(times), 3),
        "ratio": round(statistics.median(times) / statistics.median(heads), 2),
        "covered_mean": None if covered is None else round(float(covered.mean()), 4),
        "covered_least": None if covered is None else round(float(covered.min()), 4),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "built_mb": round(before),
    }


def main() -> None:
    """Runs the cases, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="three cases")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--case", choices=list(CASES), help="this one, here")
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.case, arguments.repeats)))
        return
    records = []
    for case in QUICK if arguments.quick else CASES:
        command = [sys.executable, __file__, "--case", case, "--repeats", str(arguments.repeats)]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        records.append(json.loads(found.stdout.splitlines()[-1]))
        print(records[-1], flush=True)
    if arguments.json:
        facts = {
            "prompt": PROMPT,
            "rows": ROWS,
            "repeats": arguments.repeats,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "machine": platform.machine(),
            "model": "smollm2-135m",
        }
        arguments.json.write_text(json.dumps({**facts, "records": records}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
