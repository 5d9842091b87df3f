"""What a map over a text's words costs, in plain predictions of the same text, and how long an estimate takes.

    python benchmarks/explain.py [--rounds 5] [--json FILE]

SmolLM2-135M with an untrained LoRA r = 8 on all linear layers, float32, a text of 60 tokens behind a cue. A plain
prediction is the exact posterior over the answers from the prompt, alone in its batch. Two ways to the same map:

    shared     what `predgen explain` does: words, each left out behind the prefix that is read once
    batched    one batch of all masked prompts, nothing shared

Times are medians over rounds in one process, in an order shuffled anew each round, after one that is not counted.
MINE: 10⁴ rows of 16 numbers with a target of correlation 0.8, one seed, as estimates are made.
"""

from __future__ import annotations

import argparse
import json
import random
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
from predgen.data.tokens import encode
from predgen.decoding.score import score_trie
from predgen.information.answers import masks_without, scores_without
from predgen.information.estimate import EstimateSettings, estimate, split_held_out
from predgen.information.targets import continuous_target
from predgen.information.words import words_of
from predgen.model.bases import load_base
from predgen.model.writer import Writer
from predgen.peft_methods import peft_method

TEXT = (
    "Review: The opening hour is slow and rather too pleased with itself, but once the two sisters finally meet, the "
    "film finds its voice and never lets go. The dialogue sparkles, the supporting cast is wonderful, and the ending, "
    "which I will not spoil, left half of the audience in tears. A small, quiet triumph."
)
TOKENS = 60
SPACES: dict[str, LabelSet | NumberGrid] = {
    "2 labels": LabelSet(("negative", "positive")),
    "81 numbers": NumberGrid(-4, 4, 1),
}


def measure_maps(rounds: int) -> list[dict[str, Any]]:
    base = load_base("smollm2-135m")
    lm = peft_method("lora").build(base.model, PeftConfig(), total_steps=1).eval()
    writer, tokenizer, records = Writer(lm), base.tokenizer, []
    text = encode(tokenizer, TEXT)[:TOKENS]
    ids = [*text, *encode(tokenizer, "\nSentiment:")]
    stretches = [(word.start, word.stop) for word in words_of(tokenizer, ids, 0, len(text))]
    masks = masks_without(len(ids), stretches)
    prompt = torch.tensor([ids])
    for name, space in SPACES.items():
        table = AnswerTable(build_trie(space, tokenizer, "\nSentiment:"))

        def plain(mask: torch.Tensor, table: AnswerTable = table) -> torch.Tensor:
            prefix = writer.prefill(prompt.expand(len(mask), -1), mask)
            return score_trie(writer, prefix, table).log_posterior

        def shared(table: AnswerTable = table) -> torch.Tensor:
            found = scores_without(writer, table, "vocabulary", ids, stretches, torch.device("cpu")).log_posterior
            assert found is not None
            return found

        systems: dict[str, Callable[[], torch.Tensor]] = {
            "plain prediction": lambda: plain(masks[:1]),
            "shared": shared,
            "batched": lambda: plain(masks),
        }
        times: dict[str, list[float]] = {system: [] for system in systems}
        names, found = list(systems), {}
        with torch.no_grad():
            for number in range(rounds + 1):
                random.Random(number).shuffle(names)
                for system in names:
                    started = time.perf_counter()
                    found[system] = systems[system]()
                    if number:
                        times[system].append(time.perf_counter() - started)
        for system in systems:
            # Round by round, so that what slows the whole machine cancels.
            ratios = [each / one for each, one in zip(times[system], times["plain prediction"], strict=True)]
            off = (found[system] - found["batched"][: len(found[system])]).abs().max()
            records.append(
                {
                    "answers": name,
                    "system": system,
                    "tokens": len(text),
                    "words": len(stretches),
                    "seconds": round(statistics.median(times[system]), 4),
                    "ratio": round(statistics.median(ratios), 2),
                    "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
                    "largest_difference": float(f"{float(off):.2g}"),
                }
            )
    return records


def measure_mine() -> dict[str, Any]:
    draw = np.random.default_rng(0)
    a = draw.normal(size=(10_000, 16))
    y = 0.8 * a[:, 0] + 0.6 * draw.normal(size=10_000)
    settings = EstimateSettings(seeds=(0,))
    fit_rows, held_out = split_held_out(len(a), settings)
    target = continuous_target(y, fit_rows)
    started = time.perf_counter()
    found = estimate(a, target, fit_rows, held_out, "mine", settings)
    return {
        "rows": 10_000,
        "numbers": 16,
        "seconds": round(time.perf_counter() - started, 2),
        "nats": round(found.nats, 4),
        "truth": round(-0.5 * float(np.log(1 - 0.64)), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    records, mine = measure_maps(arguments.rounds), measure_mine()
    for record in records:
        print(
            "{answers:12} {system:18} {words} words  {seconds:8.3f} s  ratio {ratio:6.2f} {ratio_range}".format(
                **record
            )
        )
    print("MINE, {rows} rows × {numbers}: {seconds} s; {nats} nats, truth {truth}".format(**mine))
    if arguments.json:
        settings = {"threads": torch.get_num_threads(), "rounds": arguments.rounds, "torch": torch.__version__}
        arguments.json.write_text(json.dumps({"settings": settings, "maps": records, "mine": mine}, indent=2) + "\n")


if __name__ == "__main__":
    main()
