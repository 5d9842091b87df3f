"""Where the time of one training step goes: by part of the method, and by kind of operation.

    python benchmarks/profile_step.py [--rows 16] [--tokens 128] [--precision fp32|bf16] [--json FILE]

SmolLM2-135M, LoRA r = 8 on all linear layers, answers like "+2.7", own tokens everywhere. One step is taken
to warm up, one is profiled with torch.profiler; shares are of that step's own time on the thread that starts it, so a
part's share is wall-clock time, and the profiler's own cost is in it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function

from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config import PeftConfig, Precision, RunConfig
from predgen.model.bases import load_base
from predgen.model.build import build_writer
from predgen.model.director import ValueDirector
from predgen.model.losses import wdal_released
from predgen.model.pooling import MeanPool
from predgen.model.predgen import PredGen, Sampling
from predgen.model.scale import Scale
from predgen.model.schedules import build_schedule
from predgen.model.writer_loss import WriterLoss
from predgen.peft_methods import peft_method
from steps import GRID, batch

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "attention": ("aten::_scaled_dot_product", "aten::_flash_attention", "aten::_efficient_attention"),
    "copies and concatenations": ("aten::copy_", "aten::cat", "aten::clone", "aten::contiguous", "aten::index"),
    "sums of gradients": ("aten::add_",),
    "softmax and log-sums": ("aten::_log_softmax", "aten::_softmax", "aten::logsumexp", "aten::nll_loss"),
    "pointwise": ("aten::mul", "aten::add", "aten::silu", "aten::rsqrt", "aten::pow", "aten::mean", "aten::sum"),
}


def annotated(owner: Any, name: str, label: str) -> None:
    """Has a method's time counted under a label."""
    original: Callable[..., Any] = getattr(owner, name)

    def labelled(*arguments: Any, **named: Any) -> Any:
        with record_function(label):
            return original(*arguments, **named)

    setattr(owner, name, labelled)


def build(precision: Precision) -> PredGen:
    base = load_base("smollm2-135m", precision=precision)
    table = AnswerTable(build_trie(GRID, base.tokenizer, "\nSentiment:"))
    writer = build_writer(peft_method("lora").build(base.model, PeftConfig(), total_steps=1), RunConfig(), "cache")
    sampling = Sampling(build_schedule("constant", 1.0, 1.0, 1), "token", "greedy", seed=0)
    director = ValueDirector(MeanPool(), writer.hidden_size, Scale())
    return PredGen(writer, table, director, WriterLoss(), wdal_released, sampling).train()


def kind_of(operation: str) -> str:
    return next((kind for kind, names in KINDS.items() if operation.startswith(names)), "other")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    method, inputs = build(arguments.precision), batch(arguments.rows, arguments.tokens)
    annotated(method.writer, "prefill", "part: prompt, forward")
    annotated(method, "_history", "part: history, written without gradient")
    annotated(method.director, "loss", "part: director")

    def step() -> None:
        with record_function("part: all of forward"):
            loss = method(**inputs, step=1).loss
        with record_function("part: backward"):
            loss.backward()

    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step()
    events = profiled.key_averages()
    parts = {event.key[6:]: event.cpu_time_total for event in events if event.key.startswith("part: ")}
    whole = parts["all of forward"] + parts["backward"]
    named = [name for name in parts if name not in ("all of forward", "backward")]
    parts["answer, forward, and losses"] = parts.pop("all of forward") - sum(parts[name] for name in named)
    kinds: dict[str, float] = {}
    for event in events:
        if not event.key.startswith("part: "):
            kinds[kind_of(event.key)] = kinds.get(kind_of(event.key), 0.0) + event.self_cpu_time_total
    total = sum(kinds.values())
    record = {
        "case": f"batch {arguments.rows}, prompt {arguments.tokens}, {arguments.precision}",
        "step_s": round(whole / 1e6, 3),
        "parts": {name: round(value / whole, 3) for name, value in sorted(parts.items(), key=lambda item: -item[1])},
        "operations": {name: round(value / total, 3) for name, value in sorted(kinds.items(), key=lambda i: -i[1])},
    }
    print(f"{record['case']}: {record['step_s']} s")
    for title in ("parts", "operations"):
        for name, share in record[title].items():
            print(f"  {title[:-1]:10} {name:42} {share:6.1%}")
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
