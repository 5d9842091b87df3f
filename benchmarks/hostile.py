"""Hostile texts and answers through save → load → predict: every row answered or an error, nothing outside the space.

    python benchmarks/hostile.py [--rows 100000] [--json FILE]

Texts of control characters, emoji, right-to-left marks, lone surrogates, special tokens' names, quotes and braces, up
to 100,000 characters; rows without a text, and lines that are no rows. Answers with quotes, commas, digits, scripts and
emoji, near-duplicates; signed grids; free numbers. A tiny random model is fitted to each space by each method, saved,
loaded and asked by the same path as `predgen predict`: file → stream → journal.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import predgen
from predgen.answers.spaces import LabelSet, NumberGrid, Space
from predgen.data.stream import stream_rows
from predgen.journal import Journal
from tiny import tiny_base, tiny_run

PIECES = (
    "\x00", "\x01\x02\x1b[31m", "\x7f\x85", "\t\r\n", "\u2028\u2029", "\ufeff", "\u200b\u200d", "\u202eabc\u202c",
    "שלום עולם", "مرحبا بالعالم", "👩‍👩‍👧‍👦", "🏳️‍🌈🇺🇳", "e\u0301" * 5, "Z\u0351\u036b\u0343", "ﷺ", "𝕳𝖊𝖑𝖑𝖔", "\U0010ffff",
    "<|end|>", "</s><s>[INST]", "{text}", "{{}}", "%s%n", "Answer: yes", "\nAnswer:", "'; DROP TABLE",
    '"quoted", "twice"',    "\\n\\u0000", "0", "-1e309", "NaN", "null", "漢字かな",
    "ñandú", "good", "bad film", " " * 20, "a" * 50, "١٢٣",
)  # fmt: skip
SPACES: dict[str, tuple[list[Any], list[str]]] = {
    "quotes, commas": (['"yes"', "yes", "yes, no", "'no'", "no; \\n"], []),
    "near-duplicates": (["good", "Good", "good.", "goods", "good good", "go od"], []),
    "digits": (["1", "10", "100", "1.0", "01", "-1"], ["task=classification"]),
    "scripts, emoji": (["שלום", "مرحبا", "👍", "👍🏽", "👎", "naïve", "漢字"], []),
    "signed grid": ([-1.5, -0.1, 0.0, 0.7, 2.0, 10.5], []),
    "free numbers": ([-1500.25, 3.0, 99999.5, 12.125], ["space.kind=free"]),
}
METHODS = ("predgen", "generator", "predictor")


def texts(count: int, seed: int) -> Iterator[str]:
    """Lines of a jsonl file, most of them rows."""
    chance = random.Random(seed)
    for number in range(count):
        kind = number % 100
        if kind == 0:
            line = chance.choice(['{"text": ""}', '{"text": "   "}', '{"text": null}', '{"other": "x"}', "[1, 2]", "{"])
        elif kind == 1:
            line = json.dumps({"text": chance.choice([3, -0.5, True, ["a"], {"b": 1}])})
        elif kind == 2:
            line = json.dumps({"text": "x" + chance.choice(["\ud800", "\udfff"]) + chance.choice(PIECES)})
        else:
            text = "".join(chance.choices(PIECES, k=chance.randint(1, 8)))
            if number % 1000 == 500:
                text = (text * (100_000 // len(text) + 1))[:100_000]
            line = json.dumps({"text": text}, ensure_ascii=kind % 2 == 0)
        yield line


def belongs(record: dict[str, Any], space: Space) -> bool:
    """Whether a prediction, and all that comes with it, lies in the space."""
    found = record["prediction"]
    if isinstance(space, LabelSet):
        sums = math.isclose(sum(record["probabilities"].values()), 1.0, abs_tol=1e-6)
        return found in space.labels and sums and {*record["probabilities"], *record["set"]} <= set(space.labels)
    low, high = record["interval"]
    inside = all(math.isfinite(value) and space.low <= value <= space.high for value in (found, low, high))
    return inside and (not isinstance(space, NumberGrid) or low <= high)


def ask(base: Path, folder: Path, space: str, method: str, count: int, seed: int) -> dict[str, Any]:
    """Fits, saves, loads, predicts `count` rows; counts what came of them.

    Raises:
        AssertionError: If a row is lost, out of order, or answered outside the space.
    """
    answers, assignments = SPACES[space]
    rows = [
        {"text": PIECES[number % len(PIECES)] + "x", "target": answers[number % len(answers)]} for number in range(48)
    ]
    run = predgen.load(tiny_run(base, folder / "run", rows, f"method={method}", *assignments), batch_size=128)
    source, target = folder / "rows.jsonl", folder / "predictions.jsonl"
    with source.open("w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        file.writelines(line + "\n" for line in texts(count, seed))
    journal = Journal(target)
    journal.start({}, resume=False)
    started = time.perf_counter()
    for window in run.stream(stream_rows(source)):
        journal.write(window)
    journal.finish()
    seconds = time.perf_counter() - started
    kinds: Counter[str] = Counter()
    with target.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            record = json.loads(line)
            assert record["row"] == number, (space, method, number, record)
            if "error" in record:
                assert record["error"], record
                kinds["errors"] += 1
            else:
                assert belongs(record, run.space), (space, method, record)
                kinds["answered"] += 1
    assert kinds.total() == count, (space, method, kinds)
    return {"space": space, "method": method, "rows": count, **kinds, "rows_per_s": round(count / seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cells = [(space, method) for space in SPACES for method in METHODS]
    records = []
    with tempfile.TemporaryDirectory() as temporary:
        base = tiny_base(Path(temporary) / "base")
        for place, (space, method) in enumerate(cells):
            folder = Path(temporary) / str(place)
            folder.mkdir()
            count = arguments.rows // len(cells) + (place < arguments.rows % len(cells))
            records.append(ask(base, folder, space, method, count, seed=place))
            print(json.dumps(records[-1]), flush=True)
    total = {name: sum(record.get(name, 0) for record in records) for name in ("rows", "answered", "errors")}
    print(json.dumps(total))
    if arguments.json:
        arguments.json.write_text(json.dumps({"total": total, "records": records}, indent=2) + "\n")


if __name__ == "__main__":
    main()
