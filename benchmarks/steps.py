"""Step times as ratios: own tokens in every position over teacher forcing, exact scoring over a pooled head.

    python benchmarks/steps.py [--rounds 7] [--only TEXT] [--json FILE]

SmolLM2-135M, LoRA r = 8 on all linear layers, float32, answers like "+2.7" (81 of them), probabilities over the whole
vocabulary or, "in space", among the tokens that the answers allow. All cases run in one process
on the same batch, in an order shuffled anew each round, after one round that is not counted; absolute times say more of
the machine than of the code, so ratios of medians are what to quote.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from predgen.answers.spaces import NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config import OwnTokens, PeftConfig, SamplingMode
from predgen.model.baselines import Generator, Predictor
from predgen.model.bases import load_base
from predgen.model.director import ExpectedValue, ValueDirector
from predgen.model.losses import wdal_released
from predgen.model.pooling import MeanPool
from predgen.model.predgen import PredGen, Sampling
from predgen.model.scale import Scale
from predgen.model.schedules import build_schedule
from predgen.model.tree_predgen import TreePredGen
from predgen.model.writer import Writer
from predgen.model.writer_loss import WriterLoss
from predgen.peft_methods import peft_method
from records import write_records
from rounds import shuffled_rounds

GRID = NumberGrid(-4, 4, 1)
SHAPES = ((8, 64), (16, 128))  # rows, prompt tokens


def batch(rows: int, tokens: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "prompt_ids": torch.randint(100, 40_000, (rows, tokens), generator=generator),
        "prompt_mask": torch.ones(rows, tokens, dtype=torch.long),
        "answer_index": torch.randint(0, 81, (rows,), generator=generator),
        "target": torch.randn(rows, generator=generator),
        "row_ids": torch.arange(rows),
        "weight": torch.ones(rows),
    }


def build_cases(rows: int, tokens: int) -> dict[str, Callable[[], None]]:
    base = load_base("smollm2-135m")
    table = AnswerTable(build_trie(GRID, base.tokenizer, "\nSentiment:"))
    writer = Writer(peft_method("lora").build(base.model, PeftConfig(), total_steps=1))
    narrow = Writer(writer.lm)
    narrow.project_to(table.tokens)
    inputs = batch(rows, tokens)

    def predgen(
        probability: float,
        mode: SamplingMode = "token",
        own: OwnTokens = "greedy",
        expected: bool = False,
        in_space: bool = False,
        over_tree: bool = False,
    ) -> PredGen:
        value = ValueDirector(MeanPool(), writer.hidden_size, Scale())
        director = ExpectedValue(GRID.values, Scale()) if expected else value
        sampling = Sampling(build_schedule("constant", probability, probability, 1), mode, own, seed=0)
        if in_space:
            method = PredGen(narrow, table, director, WriterLoss("space"), wdal_released, sampling)
            return TreePredGen.of(method) if over_tree else method
        return PredGen(writer, table, director, WriterLoss(), wdal_released, sampling)

    def step(method: nn.Module) -> Callable[[], None]:
        parameters = [parameter for parameter in method.parameters() if parameter.requires_grad]

        def run() -> None:
            method.train()
            method(**inputs, step=1).loss.backward()
            for parameter in parameters:
                parameter.grad = None

        return run

    def score(method: nn.Module) -> Callable[[], None]:
        def run() -> None:
            method.eval()
            method.score(inputs["prompt_ids"], inputs["prompt_mask"])

        return run

    head = Predictor(writer, "regression", 1, "last")
    return {
        "train: predgen, teacher forcing": step(predgen(0.0)),
        "train: predgen, token (or sequence, batch)": step(predgen(1.0)),
        "train: predgen, token, drawn": step(predgen(1.0, own="sample")),
        "train: predgen, token, free": step(predgen(1.0, own="free")),
        "train: predgen, parallel": step(predgen(1.0, mode="parallel")),
        "train: predgen, token, expected value": step(predgen(1.0, expected=True)),
        "train: predgen, token, expected, in space": step(predgen(1.0, expected=True, in_space=True)),
        "train: predgen, token, expected, over the tree": step(
            predgen(1.0, expected=True, in_space=True, over_tree=True)
        ),
        "train: predgen, token, in space": step(predgen(1.0, in_space=True)),
        "train: pooled head": step(head),
        "score: pooled head": score(head),
        "score: exact posterior over 81 answers": score(Generator(writer, table, WriterLoss())),
        "score: exact posterior, in space": score(Generator(narrow, table, WriterLoss("space"))),
        "score: posterior and director": score(predgen(0.0)),
    }


def measure(rows: int, tokens: int, rounds: int, only: str) -> list[dict[str, Any]]:
    reference = {"train": "train: predgen, teacher forcing", "score": "score: pooled head"}
    cases = build_cases(rows, tokens)
    wanted = {name: case for name, case in cases.items() if only in name or name in reference.values()}
    timed = shuffled_rounds(wanted, rounds)
    return [
        {
            "case": f"batch {rows}, prompt {tokens}",
            "system": name,
            **each.spread(),
            **each.over(timed[reference[name.partition(":")[0]]]),
        }
        for name, each in timed.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="cases whose name holds this, besides those they are compared with")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    records = [record for shape in SHAPES for record in measure(*shape, arguments.rounds, arguments.only)]
    for record in records:
        print("{case:22} {system:48} {median_s:7.3f} s  ({min_s:.3f}–{max_s:.3f})  ratio {ratio:.2f}".format(**record))
    settings = {"threads": torch.get_num_threads(), "rounds": arguments.rounds, "torch": torch.__version__}
    write_records(arguments.json, settings, records)


if __name__ == "__main__":
    main()
