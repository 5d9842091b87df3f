"""What the scale `smoke` runs on: two random layers, and rows made of the sample that each task carries."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from predgen.data.table import Row
from predgen.data.tasks.task import Task

_WORDS = ("good", "bad", "film", "dog", "sky", "river", "house", "red", "seven", "yes", "no", "where", "who")


def tiny_model(folder: Path) -> Path:
    """A Llama of two layers of 32 units with random weights and a byte-level tokenizer, made unless it is there.

    Args:
        folder: Where it is to be; it appears as a whole.
    """
    if folder.exists():
        return folder
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(_WORDS)], trainer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=320,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=512,
                tie_word_embeddings=True,
            )
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
        made = Path(beside) / folder.name
        model.save_pretrained(made)
        wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>"
        )
        wrapped.save_pretrained(made)
        try:
            made.replace(folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise
    return folder


def made_up_rows(task: Task, count: int, seed: int) -> list[Row]:
    """Rows in the form that a task's have once they are read, with words of no meaning and answers drawn evenly.

    Args:
        task: Whose sample they are made of.
        count: How many.
        seed: Of the words and answers.
    """
    chance = random.Random(f"{task.name}-{seed}")
    sample = read_sample(task)
    return [{**_filled(sample, chance), task.target: _answer(task, number, chance)} for number in range(count)]


def read_sample(task: Task) -> Row:
    """A task's sample row as the prompt's template takes it."""
    return (task.sample if task.read is None else task.read(task.sample)) or task.sample


def _filled(sample: Row, chance: random.Random) -> Row:
    return {
        name: " ".join(chance.sample(_WORDS, 4)) if isinstance(value, str) else value for name, value in sample.items()
    }


def _answer(task: Task, number: int, chance: random.Random) -> object:
    if task.kind == "arithmetic":
        return f"it is {number}\n#### {number}"
    if task.answers == "regression":
        low, high, decimals = (task.space[name] for name in ("low", "high", "decimals"))
        return round(chance.uniform(low, high), decimals)
    said = list(task.labels or {label: label for label in task.space["labels"]})
    answer, sample = said[number % len(said)], task.sample[task.target]
    if isinstance(sample, bool):
        return answer == "true"
    return type(sample)(answer)
