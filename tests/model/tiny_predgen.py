"""PredGen on a tiny base, and a batch for it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config import DirectorHistory, OwnTokens, PeftConfig, SamplingMode
from predgen.data.batches import TrainingRow, collate
from predgen.data.prompts import PromptEncoder
from predgen.model.director import (
    ClassDirector,
    ExpectedValue,
    NumberTokenLoss,
    OrderedPenalty,
    RankedProbability,
    ReleasedOrderedPenalty,
    ValueDirector,
    VocabularyDirector,
)
from predgen.model.losses import joint_loss
from predgen.model.pooling import AttentionPool, LastToken, MeanPool
from predgen.model.predgen import PredGen, Sampling
from predgen.model.scale import Scale
from predgen.model.schedules import build_schedule
from predgen.model.writer import Writer
from predgen.model.writer_loss import WriterLoss
from predgen.peft_methods import peft_method

CUE = "\nAnswer:"
BODIES = ["bad", "The film was very good and I liked it a lot", "a good one", "terrible film"]
LABELS = LabelSet(("good", "good enough", "goods", "bad", "very bad"))
GRID = NumberGrid(-4, 4, 1)
GOLD = [3, 0, 1, 4]


def build(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    kind: str = "labels",
    probability: float = 0.0,
    mode: SamplingMode = "token",
    history: DirectorHistory = "any",
    loss: str = "wdal_released",
    own: OwnTokens = "greedy",
    writer_loss: WriterLoss | None = None,
    loss_of: Literal["rows", "batch"] = "rows",
) -> PredGen:
    """PredGen in float64 with LoRA on a tiny base."""
    torch.manual_seed(1)
    adapted = peft_method("lora").build(model, PeftConfig(rank=4), total_steps=9)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:  # zero at the start, which would hide half of the gradient
            nn.init.normal_(parameter, std=0.2)
    writer = Writer(adapted)
    table = AnswerTable(build_trie(LABELS if kind in ("labels", "vocabulary") else GRID, tokenizer, CUE))
    directors = {
        "labels": lambda: ClassDirector(LastToken(), writer.hidden_size, 5),
        "vocabulary": lambda: VocabularyDirector(writer.vocabulary_size, 5),
        "numbers": lambda: ValueDirector(MeanPool(), writer.hidden_size, Scale(0.1, 1.7)),
        "attention": lambda: ValueDirector(
            AttentionPool(writer.hidden_size), writer.hidden_size, Scale(0.1, 1.7), "huber"
        ),
        "prompt_too": lambda: ValueDirector(
            AttentionPool(writer.hidden_size), writer.hidden_size, Scale(0.1, 1.7), reads_prompt=True
        ),
        "ordered": OrderedPenalty,
        "ordered_released": ReleasedOrderedPenalty,
        "expected": lambda: ExpectedValue(GRID.values, Scale(0.1, 1.7)),
        "crps": lambda: RankedProbability(GRID.values, Scale(0.1, 1.7)),
        "ntloss": lambda: NumberTokenLoss(table.numerals),
    }
    director = directors[kind]()
    for parameter in director.parameters():  # heads start at zero too
        nn.init.normal_(parameter, std=0.5)
    sampling = Sampling(build_schedule("constant", probability, probability, 1), mode, own, seed=5)
    return PredGen(
        writer, table, director, writer_loss or WriterLoss(), joint_loss(loss), sampling, history, loss_of
    ).to(model.dtype)


def batch(
    tokenizer: PreTrainedTokenizerFast, gold: list[int] = GOLD, dtype: torch.dtype = torch.float64
) -> dict[str, torch.Tensor]:
    encoder = PromptEncoder(tokenizer, CUE, 100)
    rows = [
        TrainingRow(encoder(body).ids, answer, 0.7 * answer - 1, number)
        for number, (body, answer) in enumerate(zip(BODIES, gold, strict=True))
    ]
    collated = collate(rows)
    collated.update({name: collated[name].to(dtype) for name in ("target", "weight")})
    return collated


def gradients(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
