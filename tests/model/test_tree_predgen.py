from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.spaces import NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config import DirectorHistory, OwnTokens, PeftConfig, RunConfig, SamplingMode
from predgen.config_reading import config_from_dict
from predgen.data.batches import TrainingRow, collate
from predgen.data.prompts import PromptEncoder
from predgen.model.build import build_method
from predgen.model.director import Director, ExpectedValue, RankedProbability, ValueDirector
from predgen.model.losses import joint_loss
from predgen.model.pooling import MeanPool
from predgen.model.predgen import PredGen, Sampling
from predgen.model.rereading import PathwiseWriter, RereadingWriter
from predgen.model.scale import Scale
from predgen.model.schedules import build_schedule
from predgen.model.setting import Setting
from predgen.model.tree_predgen import TreePredGen
from predgen.model.writer import Writer
from predgen.model.writer_loss import WriterLoss
from predgen.peft_methods import peft_method

CUE = "\nAnswer:"
BODIES = ["bad", "The film was very good and I liked it a lot", "a good one", "terrible film"]
# Answers of one to three digits, some of which others go on from: histories may be longer and shorter than gold.
GRID = NumberGrid(0, 130, 0)
GOLD = [3, 12, 1, 127]


def build(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    probability: float = 0.5,
    director: str = "expected",
    mode: SamplingMode = "token",
    own: OwnTokens = "greedy",
    history: DirectorHistory = "any",
    dropout: float = 0.0,
    writer_loss: WriterLoss | None = None,
) -> PredGen:
    torch.manual_seed(1)
    adapted = peft_method("lora").build(model, PeftConfig(rank=4, dropout=dropout), total_steps=9)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.2)
    writer, scale = Writer(adapted), Scale(60.0, 40.0)
    directors: dict[str, Director] = {
        "expected": ExpectedValue(GRID.values, scale),
        "crps": RankedProbability(GRID.values, scale),
        "value": ValueDirector(MeanPool(), writer.hidden_size, scale),
    }
    sampling = Sampling(build_schedule("constant", probability, probability, 1), mode, own, seed=5)
    table = AnswerTable(build_trie(GRID, tokenizer, CUE))
    loss = writer_loss or WriterLoss("space")
    return PredGen(writer, table, directors[director], loss, joint_loss("sum"), sampling, history).to(model.dtype)


def batch(tokenizer: PreTrainedTokenizerFast, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    encoder = PromptEncoder(tokenizer, CUE, 100)
    rows = [
        TrainingRow(encoder(body).ids, answer, float(answer), number)
        for number, (body, answer) in enumerate(zip(BODIES, GOLD, strict=True))
    ]
    collated = collate(rows)
    collated.update({name: collated[name].to(dtype) for name in ("target", "weight")})
    return collated


def assert_same_step(one: PredGen, other: PredGen, inputs: dict[str, torch.Tensor], tolerance: float) -> None:
    """Whether two methods of the same modules take the same step."""
    found = []
    for method in (one, other):
        output = method.train()(**inputs, step=3)
        output.loss.backward()
        found.append((output, {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}))
        method.zero_grad()
    (slow, slow_gradients), (fast, fast_gradients) = found
    assert fast.loss.item() == pytest.approx(slow.loss.item(), rel=tolerance)
    assert torch.allclose(fast.writer_loss, slow.writer_loss, rtol=tolerance)
    assert torch.allclose(fast.director_loss, slow.director_loss, rtol=tolerance)
    assert torch.equal(fast.own_history, slow.own_history)
    assert fast.sampling_probability == slow.sampling_probability
    assert fast_gradients.keys() == slow_gradients.keys() and fast_gradients
    for name, gradient in slow_gradients.items():
        assert (fast_gradients[name] - gradient).norm() <= 100 * tolerance * gradient.norm() + 1e-9, name


@pytest.mark.parametrize("director", ["expected", "crps"])
@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_it_takes_the_very_step_of_the_method(
    precise_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast, director: str, probability: float
) -> None:
    method = build(precise_model, byte_level, probability, director)
    assert TreePredGen.suits(method)
    exact = precise_model.dtype == torch.float64
    inputs = batch(byte_level, precise_model.dtype)
    assert_same_step(method, TreePredGen.of(method), inputs, 1e-7 if exact else 1e-4)


@pytest.mark.parametrize(
    ("mode", "own", "history"),
    [
        ("sequence", "greedy", "any"),
        ("batch", "greedy", "own"),
        ("token", "sample", "own"),
        ("sequence", "sample", "any"),
    ],
)
def test_whatever_the_coins_share_and_the_tokens_are(
    llama: PreTrainedModel,
    byte_level: PreTrainedTokenizerFast,
    mode: SamplingMode,
    own: OwnTokens,
    history: DirectorHistory,
) -> None:
    method = build(llama.double(), byte_level, 0.5, "expected", mode, own, history)
    assert_same_step(method, TreePredGen.of(method), batch(byte_level, torch.float64), 1e-7)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*")
@pytest.mark.parametrize("writer", [RereadingWriter, PathwiseWriter])
def test_writers_that_read_anew_read_the_tree_too(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, writer: type[Writer]
) -> None:
    method = build(llama.double(), byte_level)
    tree = TreePredGen.of(method)
    lm = method.writer.lm
    if writer is RereadingWriter:
        lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    method.writer = tree.writer = writer(lm)
    assert_same_step(method, tree, batch(byte_level, torch.float64), 1e-7)


def test_the_writer_makes_one_pass_behind_the_prompts(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    tree = TreePredGen.of(build(llama.double(), byte_level, 1.0)).train()
    passes = []
    hook = tree.writer.lm.get_decoder().register_forward_hook(lambda *_: passes.append(1))
    tree(**batch(byte_level, torch.float64), step=0)
    hook.remove()
    assert len(passes) == 2  # the prompts, and the tree


def test_what_does_not_suit_it(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    def suits(**settings: object) -> bool:
        return TreePredGen.suits(build(llama, byte_level, **settings))  # type: ignore[arg-type]

    assert suits()
    assert not suits(director="value")  # it reads the states of what was written
    assert not suits(mode="parallel")
    assert not suits(own="free")
    assert not suits(dropout=0.1)
    assert not suits(writer_loss=WriterLoss("vocabulary"))
    assert not suits(writer_loss=WriterLoss("space", reads_prompt=True))
    llama.config.attention_dropout = 0.1
    assert not suits()


@pytest.mark.parametrize(("settings", "kind"), [({}, TreePredGen), ({"director": {"kind": "value"}}, PredGen)])
def test_it_is_what_the_default_settings_of_numbers_build(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, settings: dict[str, object], kind: type[PredGen]
) -> None:
    config: RunConfig = config_from_dict(settings)
    table = AnswerTable(build_trie(GRID, byte_level, CUE))
    made = build_method(Writer(llama), table, Setting(config, "regression", GRID, 10, Scale(60.0, 40.0)))
    assert type(made) is kind
