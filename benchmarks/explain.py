"""What a map over a text's words costs, in plain predictions of the same text, and how long an estimate takes.

    python benchmarks/explain.py [--rounds 5] [--run RUN --data FILE.jsonl.gz [--rows 10]] [--json FILE]

SmolLM2-135M with an untrained LoRA r = 8 on all linear layers, float32, a text of 60 tokens behind a cue. A plain
prediction is the exact posterior over the answers from the prompt, alone in its batch, as `predgen predict` makes it.
Ways to a map:

    pieces     what `predgen explain` does: as many words and pieces as 8 plain predictions allow, counted in tokens
    words      --budget all: every word alone, tails side by side behind the prompt that is read once
    batched    one batch of all masked prompts, nothing shared

Times are processor seconds of this process (on a machine that others use, too, those of the clock say nothing), medians
over rounds, in an order shuffled anew each round, after one that is not counted.
MINE: 10⁴ rows of 16 numbers with a target of correlation 0.8, one seed, as estimates are made.
With --run and --data: areas of deletion and insertion of both maps, on the first rows of 30 to 45 words.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config import PeftConfig
from predgen.data.batches import pad_prompts
from predgen.data.sources import read_table
from predgen.data.tokens import encode
from predgen.decoding.calibrate import Calibration
from predgen.information.answers import Occlusion
from predgen.information.coarse_to_fine import LeftOut, leave_out
from predgen.information.estimate import EstimateSettings, estimate, split_held_out
from predgen.information.faithfulness import faithfulness
from predgen.information.one_answer import one_answer
from predgen.information.targets import continuous_target
from predgen.information.token_map import BUDGET, explain, prompt_of
from predgen.information.words import words_of
from predgen.loading import load
from predgen.model.baselines import Generator
from predgen.model.bases import load_base
from predgen.model.writer import Writer
from predgen.model.writer_loss import WriterLoss
from predgen.peft_methods import peft_method
from predgen.run import Run
from rounds import shuffled_rounds

TEXT = (
    "Review: The opening hour is slow and rather too pleased with itself, but once the two sisters finally meet, the "
    "film finds its voice and never lets go. The dialogue sparkles, the supporting cast is wonderful, and the ending, "
    "which I will not spoil, left half of the audience in tears. A small, quiet triumph."
)
CUE, TOKENS = "\nSentiment:", 60
LONG = (30, 45)  # words of a row whose map is measured
SPACES: dict[str, LabelSet | NumberGrid] = {
    "2 labels": LabelSet(("negative", "positive")),
    "81 numbers": NumberGrid(-4, 4, 1),
}


def run_over(space: LabelSet | NumberGrid, cue: str) -> Run:
    """A generator that has learned nothing: what it costs is what any costs."""
    base = load_base("smollm2-135m")
    lm = peft_method("lora").build(base.model, PeftConfig(), total_steps=1)
    method = Generator(Writer(lm), AnswerTable(build_trie(space, base.tokenizer, cue)), WriterLoss()).eval()
    nothing: Any = None
    return Run(nothing, method, space, nothing, base.tokenizer, Calibration(), {})


def measure_maps(name: str, space: LabelSet | NumberGrid, rounds: int) -> list[dict[str, Any]]:
    run = run_over(space, CUE)
    method: Any = run.method
    text = encode(run.tokenizer, TEXT)[:TOKENS]
    ids = [*text, *encode(run.tokenizer, CUE)]
    words = words_of(run.tokenizer, ids, 0, len(text))
    made = dict[str, LeftOut]()

    def plain(prompts: list[list[int]]) -> None:
        batch = pad_prompts(prompts)
        method.score(batch.prompt_ids, batch.prompt_mask)

    def mapped(system: str, budget: float) -> None:
        made[system] = leave_out(Occlusion(run, ids), words, budget)

    systems: dict[str, Callable[[], None]] = {
        "plain prediction": lambda: plain([ids]),
        "pieces": lambda: mapped("pieces", BUDGET),
        "words": lambda: mapped("words", math.inf),
        "batched": lambda: plain([ids, *([*ids[: word.start], *ids[word.stop :]] for word in words)]),
    }
    times = {system: timed.processor for system, timed in shuffled_rounds(systems, rounds).items()}
    records = []
    for system in systems:
        # Round by round, so that what slows the whole machine cancels.
        ratios = [each / one for each, one in zip(times[system], times["plain prediction"], strict=True)]
        record: dict[str, Any] = {
            "answers": name,
            "system": system,
            "tokens": len(text),
            "words": len(words),
            "seconds": round(statistics.median(times[system]), 4),
            "ratio": round(statistics.median(ratios), 2),
            "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        }
        if system in made:
            pieces = made[system].pieces
            record["pieces"] = len(pieces)
            record["words_alone"] = sum(stop - start == 1 for start, stop in pieces)
            record["counted"] = round(made[system].spent, 2)
        records.append(record)
        print(
            "{answers:12} {system:18} {seconds:8.3f} s  ratio {ratio:6.2f} {ratio_range}".format(**record), flush=True
        )
    return records


def measure_truth(folder: Path, data: Path, rows: int) -> dict[str, Any]:
    """How true the map of pieces is, beside that of every word and random orders."""
    run = one_answer(load(folder), None).run
    table = read_table(data)
    chosen = [row for row in table.good_rows if LONG[0] <= len(run.body(row).split()) <= LONG[1]][:rows]
    areas: dict[str, list[tuple[float, float]]] = {"pieces": [], "words": []}
    orders, pieces, words = list[float](), list[float](), list[int]()
    for row in chosen:
        prompted = prompt_of(run, row)
        words.append(len(prompted.words))
        for name, budget in (("pieces", BUDGET), ("words", math.inf)):
            made = explain(run, row, "occlusion", prompted, budget)
            true = faithfulness(run, prompted, made)
            areas[name].append((true.deletion_area, true.insertion_area))
            if name == "pieces":
                orders.append(float(np.mean(true.random_areas)))
                pieces.append(len(made.words))
        print(f"{words[-1]} words: deletion, insertion of pieces {areas['pieces'][-1]}, of words {areas['words'][-1]}; "
              f"random {orders[-1]:.3f}", flush=True)  # fmt: skip
    return {
        "rows": len(chosen),
        "words": [min(words), max(words)],
        "pieces": round(statistics.mean(pieces), 1),
        "deletion": {name: round(statistics.mean(each for each, _ in found), 4) for name, found in areas.items()},
        "insertion": {name: round(statistics.mean(each for _, each in found), 4) for name, found in areas.items()},
        "random": round(statistics.mean(orders), 4),
        "each_row": {**areas, "random": orders},
    }


def measure_mine() -> dict[str, Any]:
    draw = np.random.default_rng(0)
    a = draw.normal(size=(10_000, 16))
    y = 0.8 * a[:, 0] + 0.6 * draw.normal(size=10_000)
    settings = EstimateSettings(seeds=(0,))
    fit_rows, held_out = split_held_out(len(a), settings)
    target = continuous_target(y, fit_rows)
    started = time.process_time()
    found = estimate(a, target, fit_rows, held_out, "mine", settings)
    return {
        "rows": 10_000,
        "numbers": 16,
        "seconds": round(time.process_time() - started, 2),
        "nats": round(found.nats, 4),
        "truth": round(-0.5 * float(np.log(1 - 0.64)), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--run", type=Path, help="a run folder of one answer")
    parser.add_argument("--data", type=Path, help="rows for it")
    parser.add_argument("--rows", type=int, default=10)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    mine = measure_mine()
    print("MINE, {rows} rows × {numbers}: {seconds} s; {nats} nats, truth {truth}".format(**mine), flush=True)
    found: dict[str, Any] = {
        "settings": {"threads": torch.get_num_threads(), "rounds": arguments.rounds, "torch": torch.__version__},
        "mine": mine,
        "maps": [record for name, space in SPACES.items() for record in measure_maps(name, space, arguments.rounds)],
    }
    if arguments.run and arguments.data:
        found["truth"] = measure_truth(arguments.run, arguments.data, arguments.rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
