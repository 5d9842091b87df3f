"""PEFT methods as ratios to peft's LoRA at equal rank: a step's time, its memory, what is kept for the backward pass.

    python benchmarks/peft_steps.py [--rounds 7] [--rank 8] [--rows 8] [--tokens 64] [--only NAME ...] [--json FILE]

SmolLM2-135M, all linear layers, float32, a generator's loss on a batch of prompts, AdamW (LoRA-FA corrected: peft's
own). Times: all methods in one process on the same batch and the same base weights, in an order shuffled anew each
round, after one round that is not counted; a ratio is the median over rounds of this method's step over LoRA's in the
same round, by the clock and by the processor time that the step took, which other programs disturb less. Memory: each
method in a fresh process, its peak while it takes steps (where the system cannot tell that apart, its peak with
loading), and the bytes that autograd keeps from the forward pass, weights left out.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from predgen.answers.spaces import NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config import PeftConfig, TrainConfig
from predgen.model.baselines import Generator
from predgen.model.bases import Base, load_base
from predgen.model.writer import Writer
from predgen.model.writer_loss import WriterLoss
from predgen.peft_methods import peft_method
from rounds import shuffled_rounds

REFERENCE = "lora"
SYSTEMS = (
    "lora",
    "adalora",
    "rocoft",
    "dora",
    "lora-fa",
    "lora-fa-corrected",
    "melora",
    "moslora",
    "propulsion",
    "full",
)
# What the step times and LoRA-FA's memory are to stay below, relative to LoRA's.
TARGETS = {"rocoft": 1.0, "propulsion": 1.0, "moslora": 1.1, "melora": 1.1, "lora-fa": 1.1}
ANSWERS = 81


@dataclass(frozen=True)
class Shape:
    """What is measured: the rank, and a batch of so many prompts of so many tokens."""

    rank: int
    rows: int
    tokens: int


def batch(shape: Shape) -> dict[str, Tensor]:
    rows, tokens = shape.rows, shape.tokens
    generator = torch.Generator().manual_seed(0)
    return {
        "prompt_ids": torch.randint(100, 40_000, (rows, tokens), generator=generator),
        "prompt_mask": torch.ones(rows, tokens, dtype=torch.long),
        "answer_index": torch.randint(0, ANSWERS, (rows,), generator=generator),
        "target": torch.randn(rows, generator=generator),
        "row_ids": torch.arange(rows),
        "weight": torch.ones(rows),
    }


def build(name: str, base: Base, shape: Shape) -> tuple[nn.Module, Callable[[], None]]:
    """The method, and a function that takes one step of it; the base's weights are shared where they are frozen."""
    peft = peft_method(name)
    shared = {} if peft.whole else {id(parameter): parameter for parameter in base.model.parameters()}
    model = copy.deepcopy(base.model, shared)
    table = AnswerTable(build_trie(NumberGrid(-4, 4, 1), base.tokenizer, "\nSentiment:"))
    lm = peft.build(model, PeftConfig(rank=shape.rank), total_steps=1000)
    method = Generator(Writer(lm), table, WriterLoss()).train()
    train = TrainConfig()
    learned = [parameter for parameter in method.parameters() if parameter.requires_grad]
    optimizer = peft.optimizer(method, train) if peft.optimizer else torch.optim.AdamW(learned, lr=train.learning_rate)
    inputs, taken = batch(shape), 0

    def step() -> None:
        nonlocal taken
        loss, penalty = method(**inputs, step=taken).loss, peft.penalty(lm)
        (loss if penalty is None else loss + penalty).backward()
        optimizer.step()
        taken += 1
        peft.after_step(lm, taken)
        optimizer.zero_grad()

    return method, step


def measure_times(names: list[str], shape: Shape, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of each step, by the clock and of the processor."""
    base = load_base("smollm2-135m")
    steps = {name: build(name, base, shape)[1] for name in names}
    timed = shuffled_rounds(steps, rounds)
    return {name: list(zip(each.clock, each.processor, strict=True)) for name, each in timed.items()}


def measure_memory(name: str, shape: Shape) -> dict[str, float]:
    """In this process alone: MB at the peak of three steps, MB kept for the backward pass of one, MB of the file."""
    base = load_base("smollm2-135m")
    method, step = build(name, base, shape)
    del base
    weights = {parameter.untyped_storage().data_ptr() for parameter in method.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = method(**batch(shape), step=0).loss
    del loss
    before = _reset_peak()
    for _ in range(3):
        step()
    learned = sum(parameter.numel() for parameter in method.parameters() if parameter.requires_grad)
    return {
        "parameters": learned,
        "kept_mb": round(sum(kept.values()) / 1e6, 1),
        "peak_mb": round(_peak_mb(), 1),
        "step_mb": round(_peak_mb() - before, 1),
    }


def _reset_peak() -> float:
    """Forgets the peak of loading where the system can, and returns what is held now, in MB."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0.0
    return _status_mb("VmRSS")


def _peak_mb() -> float:
    try:
        return _status_mb("VmHWM")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _status_mb(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def measure_memory_apart(name: str, shape: Shape) -> dict[str, float]:
    settings = [f"--rank={shape.rank}", f"--rows={shape.rows}", f"--tokens={shape.tokens}"]
    command = [sys.executable, __file__, "--memory-of", name, *settings]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def compare(times: dict[str, list[tuple[float, float]]], memory: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    records = []
    for name, mine in times.items():
        clock, processor = (
            [one[kind] / other[kind] for one, other in zip(mine, times[REFERENCE], strict=True)] for kind in (0, 1)
        )
        held, reference = memory[name], memory[REFERENCE]
        records.append(
            {
                "system": name,
                **held,
                "median_s": round(statistics.median(each[0] for each in mine), 4),
                "clock_ratio": round(statistics.median(clock), 3),
                "clock_ratio_range": [round(min(clock), 3), round(max(clock), 3)],
                "processor_ratio": round(statistics.median(processor), 3),
                "processor_ratio_range": [round(min(processor), 3), round(max(processor), 3)],
                "kept_ratio": round(held["kept_mb"] / reference["kept_mb"], 3),
                "peak_ratio": round(held["peak_mb"] / reference["peak_mb"], 3),
                "target": TARGETS.get(name),
            }
        )
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--only", nargs="*", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--memory-of", choices=SYSTEMS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    shape = Shape(arguments.rank, arguments.rows, arguments.tokens)
    if arguments.memory_of:
        print(json.dumps(measure_memory(arguments.memory_of, shape)))
        return
    names = list(dict.fromkeys([REFERENCE, *arguments.only]))
    times = measure_times(names, shape, arguments.rounds)
    records = compare(times, {name: measure_memory_apart(name, shape) for name in names})
    for record in records:
        low, high = record["processor_ratio_range"]
        missed = "" if record["target"] is None or record["processor_ratio"] <= record["target"] else "  MISSED"
        print(
            f"{record['system']:18} {record['parameters']:>11,} learn  step over LoRA's: clock "
            f"{record['clock_ratio']:.2f}, processor {record['processor_ratio']:.2f} ({low:.2f}–{high:.2f}){missed}  "
            f"kept {record['kept_mb']:.0f} MB ({record['kept_ratio']:.2f})  peak {record['peak_mb']:.0f} MB "
            f"({record['peak_ratio']:.2f})"
        )
    if arguments.json:
        settings = {
            "threads": torch.get_num_threads(),
            "rounds": arguments.rounds,
            "rank": arguments.rank,
            "batch": f"{arguments.rows} x {arguments.tokens}",
            "torch": torch.__version__,
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"settings": settings, "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
