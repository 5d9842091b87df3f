"""A tiny random model and runs fitted with it: for what is to be shown of the library, whatever the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import predgen


def tiny_base(folder: Path, size: int = 32, layers: int = 2) -> Path:
    """A Llama of random weights and a byte-level tokenizer, which can write any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["A good film, not bad at all.", "Answer: yes no positive negative"] * 3, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>").save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=400,
        hidden_size=size,
        intermediate_size=2 * size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def tiny_run(base: Path, folder: Path, rows: Sequence[Mapping[str, Any]], *assignments: str) -> Path:
    """Fits `text` → `target` for a few steps, and returns the run folder."""
    settings = [
        f"model.name={base}",
        f"out={folder}",
        "data.text=text",
        "data.target=target",
        "data.dev_size=0.5",
        "data.test_size=0",
        "prompt.max_tokens=48",
        "train.max_steps=4",
        "train.evaluations=1",
        "train.learning_rate=0.01",
    ]
    predgen.fit(predgen.load_config(None, [*settings, *assignments]), data=rows, overwrite=True, say=lambda line: None)
    return folder
