"""A training step beside what people otherwise run, and what the paper's released code does, as ratios of one run.

    python benchmarks/training.py [--quick] [--json FILE] [--chart FILE] [--only SYSTEM ...] [--cases 8,64,4 ...]
        [--precision fp32 bf16] [--checkpointing off on] [--rounds N] [--model NAME] [--device cuda]

SmolLM2-135M with an untrained LoRA r = 8 on all linear layers, random prompts, answers of a space whose answers all
have so many tokens: numbers from -4 to 4 with one decimal (4) and with three (6), and 64 labels of a sign and 15 digits
(16). A step is forward, backward and gradients cleared; no system's optimizer steps, which would be the same for all.
The systems:

    hf sequence classification  transformers' Trainer.training_step, AutoModelForSequenceClassification under peft
    trl sft                     TRL's SFTTrainer.training_step, loss over the answer alone, weights and passes in the
                                precision of the others (pip install predgen[bench])
    trl sft as shipped          the same as SFTConfig's defaults have it: float32 weights, passes cast to bfloat16,
                                gradient checkpointing, whatever the others are run in
    released p=1                the paper's released step with the model's own tokens everywhere, restated
    predgen teacher forcing     gold's tokens everywhere: what the others are divided by
    predgen token p=0.5         half of the tokens the model's own, one coin a token
    predgen token, sequence, parallel p=1   the model's own tokens everywhere, in the three modes
    predgen token p=1, asked for every token   of labels: as if each token left a choice. These codes part at any
                                position, but most are settled by a few, and behind those the model is not asked
    predgen predictor           the pooled head

predgen's director is the paper's: a value read from the answer's states, or a class. Each group (case, precision,
checkpointing) is measured in one process: every step once to count its operations and to check it, then rounds in an
order shuffled anew each time, in which large matrix products take turns with the systems. Both the clock and the
processor's time (all threads) are kept; on a busy machine the latter's ratios are what holds. Peak memory is of a fresh
process that runs one system (VmHWM from the first step on; on a GPU what torch had allocated). The share is of the rate
at which the same rounds multiplied 2048 x 2048 matrices of the same type; operations are those of matrix products and
attention. The losses of teacher forcing and of TRL must agree in float32, and all gradients be finite.

Groups that the JSON file holds already with all that is asked are kept, so that a long run can be stopped and gone on
with. `--quick`: two cases in float32 without checkpointing, two rounds of the small one and one of the other, and the
peak memory of four systems in the small one. Models other than SmolLM2 have random weights, for times on a GPU; the
large ones and `--device cuda` have not been tried yet.
Beside the JSON stands the same as markdown tables.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from matmul import count_operations, multiplication
from memory import alone, peak_of
from records import kept_records, write_records
from rounds import Timed, shuffled_rounds
from training_models import DTYPES, MODELS
from training_report import chart, tables
from training_systems import REFERENCE, SHIPPED, SYSTEMS, Group, Systems
from training_task import Case

CASES = (Case(8, 64, 4), Case(16, 128, 6), Case(4, 512, 6), Case(8, 64, 16))
QUICK = CASES[:2]
QUICK_MEMORY = ("trl sft", "released p=1", REFERENCE, "predgen token p=1")  # a process each, most of it imports
CLOSE = 1e-4  # how near the same loss must come in float32, relative


def measure(group: Group, asked: Sequence[str], rounds: int, memory_of: Collection[str]) -> list[dict[str, Any]]:
    names = group.systems(asked)
    systems = Systems(group)
    steps = {name: systems.step(name) for name in names}
    counted: dict[str, int] = {}
    losses: dict[str, float] = {}
    for name, step in steps.items():
        counted[name], loss = count_operations(step.backward)
        losses[name] = float(loss)
        gradients = [parameter.grad for parameter in step.parameters if parameter.grad is not None]
        if not gradients or not all(bool(gradient.isfinite().all()) for gradient in gradients):
            raise SystemExit(f"{group}: {name} has no gradients, or such as are not finite.")
        step.clear()
    difference = loss_difference(group, systems, losses["trl sft"]) if "trl sft" in names else None
    precisions = {name: "bf16" if name == SHIPPED else group.precision for name in names}
    products = {
        precision: multiplication(DTYPES[precision], group.device) for precision in sorted(set(precisions.values()))
    }
    turns = {**steps, **{f"product {precision}": run for precision, (run, _) in products.items()}}
    wait = torch.cuda.synchronize if group.device == "cuda" else (lambda: None)
    for run, _ in products.values():
        run()
    timed = shuffled_rounds(turns, rounds, wait=wait, warm=True)
    del steps, turns, systems
    records = []
    for name in names:
        product, operations = timed[f"product {precisions[name]}"], products[precisions[name]][1]
        measured = name in memory_of
        memory = alone(__file__, [*asked_of(group), name]) if measured else {"peak_mb": None, "step_mb": None}
        records.append(
            {
                **described(group),
                "system": name,
                "rounds": rounds,
                **timed[name].spread(),
                **timed[name].over(timed[REFERENCE]),
                **memory,
                "gflop": round(counted[name] / 1e9, 1),
                **shares(counted[name], timed[name], operations, product),
                "loss": losses[name],
                # Of the answer's tokens alone, in teacher forcing and in TRL: relative.
                **({"loss_difference": difference} if name == "trl sft" else {}),
            }
        )
    return records


def loss_difference(group: Group, systems: Systems, theirs: float) -> float:
    """Teacher forcing and TRL teach the same tokens, so that their losses are one: how much they differ, relative."""
    method = systems.method("token", 0.0).train()
    with torch.no_grad():
        ours = float(method(**systems.batch.inputs, step=1).writer_loss.mean())
    difference = abs(ours - theirs) / theirs
    print(f"{group}: loss of teacher forcing {ours:.6f}, of trl sft {theirs:.6f}, relative difference {difference:.1e}")
    if group.precision == "fp32" and difference > CLOSE:
        raise SystemExit(f"{group}: the two losses are not the same, so that times would compare different work.")
    return difference


def shares(count: int, mine: Timed, operations: int, product: Timed) -> dict[str, float]:
    """Of the rate of large matrix products, by both times, and that rate."""
    took, product_took = mine.spread(), product.spread()
    rate, processor_rate = (operations / product_took[key] for key in ("median_s", "processor_s"))
    return {
        "share": round(count / took["median_s"] / rate, 3),
        "processor_share": round(count / took["processor_s"] / processor_rate, 3),
        "product_gflop_s": round(rate / 1e9, 1),
    }


def described(group: Group) -> dict[str, Any]:
    return {"case": str(group.case), "precision": group.precision, "checkpointing": group.checkpointing}


def asked_of(group: Group) -> list[Any]:
    case = group.case
    return [[case.rows, case.prompt, case.answer], group.precision, group.checkpointing, group.model, group.device]


def run_alone(asked: str) -> None:
    case, precision, checkpointing, model, device, system = json.loads(asked)
    step = Systems(Group(Case(*case), precision, checkpointing, model, device)).step(system)
    found = peak_of(step, times=2)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        peak = torch.cuda.max_memory_allocated()
        found = {"peak_mb": round(peak / 2**20, 1), "step_mb": round((peak - before) / 2**20, 1)}
    print(json.dumps(found))


def version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def groups(arguments: argparse.Namespace) -> list[tuple[Group, int]]:
    """What is measured, and in how many rounds."""
    cases = [Case.named(text) for text in arguments.cases] if arguments.cases else QUICK if arguments.quick else CASES
    precisions = arguments.precision or (["fp32"] if arguments.quick else ["fp32", "bf16"])
    checkpointing = arguments.checkpointing or (["off"] if arguments.quick else ["off", "on"])
    found = []
    # The plainest first, so that a run that is stopped has those.
    for switch, precision, case in itertools.product(checkpointing, precisions, cases):
        group = Group(case, precision, switch == "on", arguments.model, arguments.device)
        usual = 7 if precision == "fp32" and switch == "off" else 3
        if arguments.quick:
            usual = 2 if case == QUICK[0] else 1
        found.append((group, arguments.rounds or usual))
    return found


def with_memory(arguments: argparse.Namespace, case: Case) -> Collection[str]:
    """The systems whose peak memory is measured in a case."""
    if arguments.without_memory or (arguments.quick and case != QUICK[0]):
        return ()
    return QUICK_MEMORY if arguments.quick else SYSTEMS


def holds(records: list[dict[str, Any]], names: Sequence[str], rounds: int, memory_of: Collection[str]) -> bool:
    """Whether a group's records have all that is asked; else it is measured anew, since ratios are of one run."""
    enough = {
        record["system"]
        for record in records
        if record["rounds"] >= rounds and (record["peak_mb"] is not None or record["system"] not in memory_of)
    }
    return enough >= set(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two cases in float32, two rounds and one")
    parser.add_argument("--rounds", type=int, help="7 in float32 without checkpointing, else 3; fewer with --quick")
    parser.add_argument("--cases", nargs="+", help="rows, prompt and answer tokens, as 8,64,4")
    parser.add_argument("--precision", nargs="+", choices=tuple(DTYPES))
    parser.add_argument("--checkpointing", nargs="+", choices=("off", "on"))
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help="others have random weights")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--without-memory", action="store_true", help="times alone: no process for each system")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--chart", type=Path, help="of what is measured without checkpointing")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    # What the libraries say of a fresh head, and of settings that they are about to rename, is no news here.
    warnings.simplefilter("ignore", FutureWarning)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if arguments.alone:
        run_alone(arguments.alone)
        return
    settings = {
        "model": arguments.model,
        "device": arguments.device if arguments.device == "cpu" else torch.cuda.get_device_name(),
        "threads": torch.get_num_threads(),
        **{name: version(name) for name in ("torch", "transformers", "peft", "trl")},
    }
    if settings["trl"] is None and any(name.startswith("trl") for name in arguments.only):
        parser.error("trl is not installed: pip install predgen[bench], or leave its systems out with --only")
    records = kept_records(arguments.json, settings)
    asked = [name for name in SYSTEMS if name in {REFERENCE, *arguments.only}]
    line = (
        "  {system:27} {median_s:8.3f} s ({min_s:.3f}–{max_s:.3f})  ratio {ratio:5.2f}, of processor time "
        "{processor_ratio:5.2f}  share {processor_share:4.0%}  {memory}"
    )
    for group, rounds in groups(arguments):
        mine = [record for record in records if described(group).items() <= record.items()]
        memory_of = with_memory(arguments, group.case)
        if not holds(mine, group.systems(asked), rounds, memory_of):
            records = [record for record in records if record not in mine]
            mine = measure(group, asked, rounds, memory_of)
            records += mine
            write_records(arguments.json, settings, records)
        print(group)
        for record in mine:
            memory = "" if record["peak_mb"] is None else f"{record['peak_mb']:6.0f} MB (+{record['step_mb']:.0f})"
            print(line.format(**record, memory=memory), flush=True)
        if arguments.json:
            arguments.json.with_suffix(".md").write_text(tables(records, REFERENCE))
    if arguments.chart:
        chart(records, REFERENCE, arguments.device != "cpu", arguments.chart)


if __name__ == "__main__":
    main()
