"""Inference side by side: the exact posterior, a pooled head, and what people otherwise do, as ratios of one run.

    python benchmarks/inference.py [--quick | --targets] [--rounds 5] [--json FILE] [--chart FILE]

SmolLM2-135M with an untrained LoRA r = 8 on all linear layers, float32, random prompts. Systems:

    pooled head            one forward over the prompt, a linear layer on its last state: what the others are divided by
    predgen trie           the exact posterior over every answer, the trie read with the prompt or behind it
    predgen director       the same, and a director that reads the states of the greedy answer
    one pass per label     prompt and answer read anew for every answer, as evaluation harnesses score choices
    generate               transformers' greedy generate, unconstrained, for as many tokens as the longest answer has
    constrained generation the same, held to the answers by xgrammar's logits processor (pip install predgen[bench]),
                           its grammar compiled beforehand; cut off there though it may spell an answer in more tokens
    pipeline               transformers' text-classification pipeline on the same base and adapter, tokenising included
    released evaluation    the loop of the paper's released code, restated: generate as many tokens as the gold answer
                           has, then read all again for the logits of every position, and take their argmax

`--quick` runs two cases, `--targets` four spaces at 128 tokens and batch 8; otherwise there are 54.
Times are medians over rounds in one process, the systems in an order shuffled anew each round, after one that is not
counted. Peak memory is the resident set (Linux) of a fresh process that runs one system twice. Agreement is the share
of rows with the trie's answer: its likeliest for one pass per label, its greedy one for constrained generation. Cases
that the JSON file holds already are kept, so that a long run can be stopped and gone on with; `--fresh` forgets them.
Beside the JSON stands the same as a markdown table of ratios, those of peak memory in brackets.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memory import alone, resident_mb
from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config import PeftConfig
from predgen.data.tokens import decode
from predgen.model.baselines import Generator, Predictor
from predgen.model.bases import Base, load_base
from predgen.model.director import ClassDirector, ValueDirector
from predgen.model.losses import wdal_released
from predgen.model.pooling import MeanPool
from predgen.model.predgen import PredGen, Sampling
from predgen.model.scale import Scale
from predgen.model.schedules import build_schedule
from predgen.model.writer import Writer
from predgen.model.writer_loss import WriterLoss
from predgen.peft_methods import peft_method
from predgen.scoring import score_prompts
from records import kept_records, write_records
from rounds import shuffled_rounds

EMOTIONS = ("joy", "sadness", "anger", "fear", "love", "surprise")
TOPICS = (
    "atheism", "computer graphics", "windows", "pc hardware", "mac hardware", "window systems", "for sale", "cars",
    "motorcycles", "baseball", "hockey", "cryptography", "electronics", "medicine", "space", "christianity", "guns",
    "middle east", "politics", "religion",
)  # fmt: skip
VERBS = ("activate", "cancel", "change", "report a lost", "pay by", "refund on", "explain charges on")
THINGS = ("card", "virtual card", "pin", "transfer", "top-up", "cash withdrawal", "direct debit", "exchange", "account",
          "passcode", "phone")  # fmt: skip
SPACES: dict[str, LabelSet | NumberGrid] = {
    "2 labels": LabelSet(("yes", "no")),
    "6 labels": LabelSet(EMOTIONS),
    "20 labels": LabelSet(TOPICS),
    "77 labels": LabelSet(tuple(f"{verb} {thing}" for verb in VERBS for thing in THINGS)),
    "grid 51": NumberGrid(0, 5, 1),
    "grid 501": NumberGrid(0, 5, 2),
}
QUICK = ("6 labels", "grid 51")
TARGETS = ("2 labels", "6 labels", "grid 51", "grid 501")
MOST_PASSES = 20  # one pass per label is not run for spaces with more answers than that
REFERENCE = "pooled head"
SYSTEMS = [REFERENCE, "predgen trie", "predgen director", "one pass per label", "generate", "constrained generation",
           "pipeline", "released evaluation"]  # fmt: skip
Answers = Tensor | None  # (B,) positions in the space, of systems that give an answer


@dataclass(frozen=True)
class Case:
    """What is asked of every system."""

    space: str
    tokens: int
    rows: int

    def __str__(self) -> str:
        return f"{self.space}, prompt {self.tokens}, batch {self.rows}"


def cases(spaces: tuple[str, ...] | None) -> list[Case]:
    if spaces:
        return [Case(space, 128, 8) for space in spaces]
    return [Case(space, tokens, rows) for space in SPACES for tokens in (32, 128, 512) for rows in (1, 8, 32)]


def build_systems(case: Case, names: Sequence[str] = SYSTEMS) -> dict[str, Callable[[], Answers]]:
    # Only what is asked for is made: another system's model would count in a process's peak memory.
    base, space = load_base("smollm2-135m"), SPACES[case.space]
    torch.manual_seed(0)
    table = AnswerTable(build_trie(space, base.tokenizer, "\nAnswer:"))
    lm = peft_method("lora").build(base.model, PeftConfig(), total_steps=1).eval()
    writer = Writer(lm)
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(100, 40_000, (case.rows, case.tokens), generator=generator)
    mask = torch.ones_like(prompts)
    labels = isinstance(space, LabelSet)
    head = Predictor(writer, "classification" if labels else "regression", table.answers if labels else 1, "last")
    pool, size = MeanPool(), writer.hidden_size
    director = ClassDirector(pool, size, table.answers) if labels else ValueDirector(pool, size, Scale())
    sampling = Sampling(build_schedule("constant", 1.0, 1.0, 1), "token", "greedy", seed=0)
    scored = {
        "pooled head": head,
        "predgen trie": Generator(writer, table, WriterLoss()),
        "predgen director": PredGen(writer, table, director, WriterLoss(), wdal_released, sampling),
    }
    answers = [
        ids[: int(there.sum()) - 1].tolist() for ids, there in zip(table.targets, table.target_mask, strict=True)
    ]

    def score(name: str) -> Callable[[], Answers]:
        rows = prompts.tolist()

        def run() -> Answers:
            scores = score_prompts(scored[name], rows, case.rows)
            return (
                None if scores.log_posterior is None else torch.stack([scores.log_posterior.argmax(1), scores.greedy])
            )

        return run

    @torch.no_grad()
    def one_pass_per_label() -> Answers:
        totals = []
        for ids in answers:
            full = torch.cat([prompts, torch.tensor(ids).expand(case.rows, -1)], dim=1)
            logits = lm(full, logits_to_keep=len(ids) + 1).logits[:, :-1].log_softmax(dim=-1)
            totals.append(logits.gather(2, torch.tensor(ids).expand(case.rows, -1)[..., None]).sum(dim=(1, 2)))
        return torch.stack(totals, dim=1).argmax(dim=1)

    longest, end = max(map(len, answers)), base.tokenizer.eos_token_id
    plain = {"attention_mask": mask, "max_new_tokens": longest, "do_sample": False, "pad_token_id": end}

    @torch.no_grad()
    def generate(**more: Any) -> Tensor:
        return lm.generate(input_ids=prompts, **plain, **more)[:, case.tokens :]

    def unconstrained() -> Answers:
        generate()
        return None

    @torch.no_grad()
    def released() -> Answers:
        written = lm.generate(input_ids=prompts, **plain)  # the longest gold answer of a batch: here of the space
        lm(written).logits.argmax(dim=-1)
        return None

    systems: dict[str, Callable[[], Answers]] = {name: score(name) for name in scored}
    if table.answers <= MOST_PASSES:
        systems["one pass per label"] = one_pass_per_label
    systems["generate"] = unconstrained
    if "constrained generation" in names:
        systems["constrained generation"] = constrained_generation(base, answers, generate)
    if "pipeline" in names:
        systems["pipeline"] = text_pipeline(base, case, table.answers if labels else 1)
    systems["released evaluation"] = released
    return {name: systems[name] for name in names if name in systems}


def constrained_generation(
    base: Base, answers: list[list[int]], generate: Callable[..., Tensor]
) -> Callable[[], Answers]:
    """Greedy generation under a grammar that knows the answers and nothing else."""
    import xgrammar

    texts = [decode(base.tokenizer, ids) for ids in answers]
    vocabulary = base.model.config.vocab_size
    compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo.from_huggingface(base.tokenizer, vocab_size=vocabulary))
    grammar = compiler.compile_grammar("root ::= " + " | ".join(json.dumps(text) for text in texts))

    def run() -> Answers:
        # A processor serves one call.
        written = generate(logits_processor=[xgrammar.contrib.hf.LogitsProcessor(grammar)])
        end = base.tokenizer.eos_token_id
        spelled = [decode(base.tokenizer, [token for token in ids if token != end]) for ids in written.tolist()]
        # Tokens that spell an answer need not be those it is taught as; -1 where it takes more of them.
        return torch.tensor([texts.index(text) if text in texts else -1 for text in spelled])

    return run


def text_pipeline(base: Base, case: Case, outputs: int) -> Callable[[], Answers]:
    """What transformers offers for it: the same decoder, adapter and size of prompt, from text on."""
    import peft
    from transformers import AutoModelForSequenceClassification, pipeline

    folder = base.model.config._name_or_path
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=outputs, pad_token_id=base.tokenizer.pad_token_id, local_files_only=True
    )
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules="all-linear")
    ).eval()
    asked = pipeline("text-classification", model=adapted, tokenizer=base.tokenizer, top_k=None)
    generator = torch.Generator().manual_seed(0)
    long = torch.randint(100, 40_000, (case.rows, 2 * case.tokens), generator=generator)
    texts = [base.tokenizer.decode(ids) for ids in long]

    def run() -> Answers:
        asked(texts, batch_size=case.rows, truncation=True, max_length=case.tokens)
        return None

    return run


def measure(case: Case, rounds: int) -> list[dict[str, Any]]:
    systems: dict[str, Callable[[], Answers]] = build_systems(case)
    # One pass per label is by far the slowest; its ratio is no close call.
    timed = shuffled_rounds(systems, rounds, fewer={"one pass per label": min(2, rounds)})
    likeliest, greedy = timed["predgen trie"].result
    against = {"one pass per label": likeliest, "constrained generation": greedy}
    records = []
    for name in systems:
        agreement = None
        if name in against:
            agreement = round(float((timed[name].result == against[name]).float().mean()), 3)
        records.append(
            {
                "case": str(case),
                "system": name,
                **timed[name].spread(),
                **timed[name].over(timed[REFERENCE]),
                "peak_mb": alone(__file__, [case.space, case.tokens, case.rows, name])["peak_mb"],
                "agreement": agreement,
            }
        )
    return records


def run_alone(asked: str) -> None:
    space, tokens, rows, system = json.loads(asked)
    run = build_systems(Case(space, tokens, rows), [system])[system]
    for _ in range(2):
        run()
    print(json.dumps({"peak_mb": round(resident_mb("VmHWM"), 1)}))


def table(records: list[dict[str, Any]]) -> str:
    """Ratios to the pooled head as markdown, a row a case; in brackets the peak memory's."""
    systems = [name for name in dict.fromkeys(record["system"] for record in records) if name != REFERENCE]
    lines = ["| case | " + " | ".join(systems) + " |", "| --- " * (1 + len(systems)) + "|"]
    for case in dict.fromkeys(record["case"] for record in records):
        mine = {record["system"]: record for record in records if record["case"] == case}
        cells = [
            f"{mine[name]['ratio']:.2f} ({mine[name]['peak_mb'] / mine[REFERENCE]['peak_mb']:.2f})"
            if name in mine
            else "–"
            for name in systems
        ]
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def chart(records: list[dict[str, Any]], path: Path) -> None:
    """Ratios, a bar a system, cases beside each other."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(record["case"] for record in records))
    systems = list(dict.fromkeys(record["system"] for record in records))
    figure = Figure(figsize=(2.2 + 1.9 * len(names), 4.2), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(systems)
    for place, system in enumerate(systems):
        mine = {record["case"]: record["ratio"] for record in records if record["system"] == system}
        bars = axes.bar(
            [names.index(name) + (place - len(systems) / 2 + 0.5) * width for name in mine], list(mine.values()), width,
            label=system,
            color=("#333333", "#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#CC79A7", "#009E73", "#999999")[place],
        )  # fmt: skip
        axes.bar_label(bars, fmt="%.2f", fontsize=6)
    axes.set_xticks(range(len(names)), [name.replace(", ", "\n", 1) for name in names], fontsize=8)
    axes.set_ylabel("time, over the pooled head's")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="upper right", ncols=2)
    axes.set_ylim(top=axes.get_ylim()[1] * 1.2)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true", help="6 labels and 51 numbers at prompt 128, batch 8")
    which.add_argument("--targets", action="store_true", help="four spaces at prompt 128, batch 8")
    parser.add_argument("--rounds", type=int, help="counted ones; 5, or 2 with --quick")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--chart", type=Path, help="of the cases at prompt 128, batch 8")
    parser.add_argument("--fresh", action="store_true", help="measure what the JSON file holds once more")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        run_alone(arguments.alone)
        return
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    settings = {"threads": torch.get_num_threads(), "rounds": rounds, "torch": torch.__version__, "systems": SYSTEMS}
    records = [] if arguments.fresh else kept_records(arguments.json, settings)
    line = "{case:32} {system:24} {median_s:8.3f} s  ({min_s:.3f}–{max_s:.3f})  ratio {ratio:6.2f}  {peak_mb:6.0f} MB  "
    for case in cases(QUICK if arguments.quick else TARGETS if arguments.targets else None):
        if not any(record["case"] == str(case) for record in records):
            records += measure(case, rounds)
        for record in records:
            if record["case"] == str(case):
                agreement = record["agreement"]
                print(line.format(**record) + ("" if agreement is None else f"agrees {agreement:.0%}"), flush=True)
        write_records(arguments.json, settings, records)
        if arguments.json:
            arguments.json.with_suffix(".md").write_text(table(records))
    if arguments.chart:
        chart([record for record in records if record["case"].endswith("prompt 128, batch 8")], arguments.chart)


if __name__ == "__main__":
    main()
