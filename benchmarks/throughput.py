"""`predict` on more and more rows: cost linear in them, memory flat.

    python benchmarks/throughput.py [--rows 1000,10000,100000,1000000] [--json FILE]

A tiny random model (one layer of 16), so that it is the library that is measured: file → stream → prompts → batches →
scores → decisions → journal. Each number of rows is predicted by a fresh process through `predgen predict`, which
predicts 64 other rows first, so that what is loaded once is not counted. Peak memory is the process's resident set
(Linux).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tiny import tiny_base, tiny_run

WORDS = ("good", "bad", "film", "not", "all", "positive", "negative", "at")


def write_rows(path: Path, count: int) -> Path:
    with path.open("w") as file:
        for number in range(count):
            text = " ".join(WORDS[(number * 7 + place * place) % len(WORDS)] for place in range(2 + number % 7))
            file.write(json.dumps({"text": f"{text} {number}"}) + "\n")
    return path


def run_alone(run: str, warm: str, rows: str) -> None:
    from predgen.cli import app

    def predict(source: str) -> float:
        started = time.perf_counter()
        app(["predict", run, source, "--out", f"{source}.out", "--batch-size", "256"], standalone_mode=False)
        return time.perf_counter() - started

    predict(warm)
    seconds = predict(rows)
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    with Path(f"{rows}.out").open() as file:
        lines = sum(1 for _ in file)
    print(json.dumps({"rows": lines, "seconds": round(seconds, 2), "peak_mb": round(peak, 1)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="1000,10000,100000,1000000")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        run_alone(*arguments.alone)
        return
    records: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        known = [{"text": f"{WORDS[n % 8]} film {n}", "target": ("yes", "no")[n % 2]} for n in range(48)]
        run = tiny_run(tiny_base(folder / "base", size=16, layers=1), folder / "run", known, "method=generator")
        warm = write_rows(folder / "warm.jsonl", 64)
        for count in map(int, arguments.rows.split(",")):
            rows = write_rows(folder / "rows.jsonl", count)
            command = [sys.executable, __file__, "--alone", str(run), str(warm), str(rows)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            record = json.loads(done.stdout.splitlines()[-1])
            assert record["rows"] == count
            record["rows_per_s"] = round(count / record["seconds"], 1)
            records.append(record)
            print(json.dumps(record), flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps({"records": records}, indent=2) + "\n")


if __name__ == "__main__":
    main()
