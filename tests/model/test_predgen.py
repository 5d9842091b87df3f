from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config import DirectorHistory, PeftConfig, SamplingMode
from predgen.data.batches import TrainingRow, collate, pad_prompts
from predgen.data.prompts import PromptEncoder
from predgen.decoding.score import score_trie
from predgen.model.baselines import Generator, Predictor
from predgen.model.director import ClassDirector, OrderedPenalty, Reading, ValueDirector
from predgen.model.losses import joint_loss, masked_mean, token_losses
from predgen.model.predgen import PredGen
from predgen.model.sampling import LinearSchedule
from predgen.model.writer import Writer
from predgen.peft_methods import peft_method

CUE = "\nAnswer:"
BODIES = ["bad", "The film was very good and I liked it a lot", "a good one", "terrible film"]
LABELS = LabelSet(("good", "good enough", "goods", "bad", "very bad"))
GRID = NumberGrid(-4, 4, 1)
GOLD = [3, 0, 1, 4]


@pytest.fixture(params=["labels", "numbers", "ordered"])
def director_kind(request: pytest.FixtureRequest) -> str:
    return request.param


def build(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    kind: str = "labels",
    probability: float = 0.0,
    mode: SamplingMode = "token",
    history: DirectorHistory = "any",
    loss: str = "wdal_released",
) -> PredGen:
    """PredGen in float64 with LoRA on a tiny base."""
    torch.manual_seed(1)
    adapted = peft_method("lora").build(model, PeftConfig(rank=4))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:  # zero at the start, which would hide half of the gradient
            nn.init.normal_(parameter, std=0.2)
    writer = Writer(adapted)
    table = AnswerTable(build_trie(LABELS if kind == "labels" else GRID, tokenizer, CUE))
    directors = {
        "labels": lambda: ClassDirector(writer.hidden_size, 5),
        "numbers": lambda: ValueDirector(writer.hidden_size, 0.1, 1.7),
        "ordered": OrderedPenalty,
    }
    director = directors[kind]()
    for parameter in director.parameters():  # heads start at zero too
        nn.init.normal_(parameter, std=0.5)
    schedule = LinearSchedule(probability, probability, 1)
    return PredGen(writer, table, director, joint_loss(loss), schedule, mode, history, seed=5).double()


def batch(tokenizer: PreTrainedTokenizerFast, gold: list[int] = GOLD) -> dict[str, torch.Tensor]:
    encoder = PromptEncoder(tokenizer, CUE, 100)
    rows = [
        TrainingRow(encoder(body).ids, answer, 0.7 * answer - 1, number)
        for number, (body, answer) in enumerate(zip(BODIES, gold, strict=True))
    ]
    collated = collate(rows)
    collated["target"] = collated["target"].double()
    return collated


def gradients(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def plain_two_pass(method: PredGen, inputs: dict[str, torch.Tensor], step: int) -> torch.Tensor:
    """The same step restated: write the history, then read prompt and history afresh, row by row, with no cache."""
    prefix = method.writer.prefill(inputs["prompt_ids"], inputs["prompt_mask"])
    history = method._history(prefix, inputs["answer_index"], inputs["row_ids"], method.schedule(step), step)
    joined = []
    for row in range(len(BODIES)):
        prompt = inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()]
        answer = history.ids[row][history.mask[row]]
        output = method.writer.lm(
            input_ids=torch.cat([prompt, answer])[None], use_cache=False, output_hidden_states=True
        )
        length, targets = len(prompt), history.targets[row][history.target_mask[row]]
        logits = output.logits[:, length - 1 : length - 1 + len(targets)]
        losses = token_losses(logits, targets[None])
        weights = history.target_weights[row][history.target_mask[row]][None]
        states = output.hidden_states[-1][:, length:]
        reading = Reading(states, torch.ones(states.shape[:2], dtype=torch.bool), losses, weights)
        answer_index, target = inputs["answer_index"][row : row + 1], inputs["target"][row : row + 1]
        director_loss = method.director.loss(reading, answer_index, target)
        joined.append(method.joint(masked_mean(losses, torch.ones_like(losses)), director_loss))
    return torch.cat(joined).mean()


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_the_shared_prompt_changes_neither_loss_nor_gradients(
    tiny_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast, director_kind: str, probability: float
) -> None:
    method = build(tiny_model.double(), byte_level, director_kind, probability).train()
    inputs = batch(byte_level)
    loss = method(**inputs, step=3).loss
    loss.backward()
    shared = gradients(method)
    method.zero_grad()
    plain = plain_two_pass(method, inputs, step=3)
    plain.backward()
    assert loss.item() == pytest.approx(plain.item(), rel=1e-9)
    assert shared.keys() == gradients(method).keys()
    for name, gradient in gradients(method).items():
        assert (shared[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-12, name


def test_p_zero_is_teacher_forcing(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    method = build(llama.double(), byte_level, probability=0.0)
    generator = Generator(method.writer, method.table)
    inputs = batch(byte_level)
    output = method(**inputs, step=0)
    assert torch.allclose(output.writer_loss, generator(**inputs, step=0).writer_loss)
    assert not output.own_history.any()


def test_sequence_at_p_one_is_free_running(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    sequence = build(llama.double(), byte_level, "numbers", probability=1.0, mode="sequence")
    inputs = batch(byte_level)
    output = sequence(**inputs, step=0)
    assert output.own_history.all()
    prefix = sequence.writer.prefill(inputs["prompt_ids"], inputs["prompt_mask"])
    history = sequence._history(prefix, inputs["answer_index"], inputs["row_ids"], 1.0, 0)
    greedy = score_trie(sequence.writer, prefix, sequence.table).greedy
    assert torch.equal(history.ids, sequence.table.targets[greedy][:, : history.ids.shape[1]])


def test_an_own_director_learns_nothing_from_the_gold_answer_in_its_input(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    method = build(llama.double(), byte_level, "numbers", probability=1.0, history="own")
    straight, shuffled = batch(byte_level), batch(byte_level, GOLD[::-1])
    shuffled["target"] = straight["target"]  # only the gold text moves
    one, other = method(**straight, step=0), method(**shuffled, step=0)
    assert torch.equal(one.director_loss, other.director_loss)
    assert not torch.equal(one.writer_loss, other.writer_loss)


def test_own_history_keeps_the_writer_loss_where_gold_was_shown(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    method = build(llama.double(), byte_level, probability=0.5, mode="sequence", history="own", loss="sum")
    output = next(o for o in (method(**batch(byte_level), step=s) for s in range(20)) if 0 < o.own_history.sum() < 4)
    expected = output.writer_loss + torch.where(output.own_history, output.director_loss, 0.0)
    assert output.loss.item() == pytest.approx(expected.mean().item())


def test_accumulating_four_rows_as_two_and_two_is_one_batch(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    method = build(llama.double(), byte_level, "numbers", probability=0.5)
    inputs = batch(byte_level)
    method(**inputs, step=7).loss.backward()
    whole = gradients(method)
    method.zero_grad()
    for half in (slice(0, 2), slice(2, 4)):
        (method(**{name: tensor[half] for name, tensor in inputs.items()}, step=7).loss / 2).backward()
    for name, gradient in gradients(method).items():
        assert torch.allclose(gradient, whole[name], rtol=1e-9, atol=1e-12), name


def test_only_adapter_and_director_learn(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    method = build(llama, byte_level, probability=1.0)
    before = {name: parameter.detach().clone() for name, parameter in method.named_parameters()}
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    method(**batch(byte_level), step=0).loss.backward()
    optimizer.step()
    moved = {name for name, parameter in method.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {name for name in before if "lora_" in name or name.startswith("director.")}


@pytest.mark.parametrize("pooling", ["last", "mean", "attention"])
def test_a_predictor_does_not_see_padding(
    tiny_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast, pooling: str
) -> None:
    torch.manual_seed(0)
    method = Predictor(Writer(tiny_model), "classification", 3, pooling).eval()
    nn.init.normal_(method.output.linear.weight)
    if pooling == "attention":
        nn.init.normal_(method.pool.query)
    inputs = batch(byte_level)
    together = method.score(inputs["prompt_ids"], inputs["prompt_mask"]).class_logits
    for row in range(4):
        alone = inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()].tolist()
        assert torch.allclose(method.score(*pad_prompts([alone])).class_logits[0], together[row], atol=1e-4)


def test_predictor_losses_by_hand(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    method = Predictor(Writer(llama), "regression", 1, "last", mean=2.0, spread=4.0)
    nn.init.constant_(method.output.linear.bias, 0.5)
    inputs = batch(byte_level)
    inputs["target"] = torch.tensor([2.0, 4.0, 6.0, -2.0])  # 0, ½, 1, −1 standardised, against ½
    output = method(**inputs, step=0)
    assert output.director_loss.tolist() == pytest.approx([0.25, 0.0, 0.25, 2.25])
    assert method.score(inputs["prompt_ids"], inputs["prompt_mask"]).value.tolist() == pytest.approx([4.0] * 4)


def test_the_director_reads_the_greedy_answer(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    method = build(llama.double(), byte_level, "numbers").eval()
    inputs = batch(byte_level)
    scores = method.score(inputs["prompt_ids"], inputs["prompt_mask"])
    for row in range(4):
        prompt = inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()].tolist()
        answer = int(scores.greedy[row])
        ids = method.table.targets[answer][method.table.target_mask[answer]].tolist()[:-1]
        output = method.writer.lm(input_ids=torch.tensor([prompt + ids]), output_hidden_states=True, use_cache=False)
        states = output.hidden_states[-1][:, len(prompt) :]
        expected = method.director.value(states, torch.ones(1, len(ids), dtype=torch.bool))
        assert scores.value[row].item() == pytest.approx(expected.item(), rel=1e-6)
