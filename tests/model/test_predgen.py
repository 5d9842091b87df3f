from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.config import OwnTokens, SamplingMode
from predgen.decoding.score import score_trie
from predgen.model.baselines import Generator, Predictor
from predgen.model.director import (
    Answer,
    Reading,
)
from predgen.model.losses import masked_mean, token_losses
from predgen.model.predgen import PredGen
from predgen.model.schedules import build_schedule
from predgen.model.writer_loss import WriterLoss

from .tiny_predgen import BODIES, GOLD, batch, build, gradients


@pytest.fixture(
    params=[
        "labels",
        "vocabulary",
        "numbers",
        "prompt_too",
        "ordered",
        "ordered_released",
        "expected",
        "crps",
        "ntloss",
    ]
)
def director_kind(request: pytest.FixtureRequest) -> str:
    return request.param


def plain_two_pass(method: PredGen, inputs: dict[str, torch.Tensor], step: int) -> torch.Tensor:
    """The same step restated: write the history, then read prompt and history afresh, row by row, with no cache."""
    prefix = method.writer.prefill(inputs["prompt_ids"], inputs["prompt_mask"])
    probability = method.sampling.schedule(step)
    history = method._history(prefix, inputs["answer_index"], inputs["row_ids"], probability, step)
    joined = []
    for row in range(len(BODIES)):
        prompt = inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()]
        answer = history.ids[row][history.mask[row]]
        output = method.writer.lm(
            input_ids=torch.cat([prompt, answer])[None], use_cache=False, output_hidden_states=True
        )
        length, targets = len(prompt), history.targets[row][history.target_mask[row]]
        logits = output.logits[:, length - 1 :]
        losses = token_losses(logits[:, : len(targets)], targets[None])
        width = logits.shape[1]  # columns behind the last target carry none
        reading = Reading(
            answer=Answer(
                output.hidden_states[-1][:, length:],
                torch.ones(1, len(answer), dtype=torch.bool),
                logits[:, 1:],
                output.hidden_states[-1][:, :length],
                torch.ones(1, length, dtype=torch.long),
            ),
            logits=logits,
            targets=history.targets[row, :width][None],
            target_mask=history.target_mask[row, :width][None],
            token_losses=nn.functional.pad(losses, (0, width - len(targets))),
            token_weights=(history.target_weights[row] * history.target_mask[row])[None, :width],
            log_posterior=lambda prompt=prompt: brute_force_posterior(method, prompt),
        )
        answer_index, target = inputs["answer_index"][row : row + 1], inputs["target"][row : row + 1]
        director_loss = method.director.loss(reading, answer_index, target)
        joined.append(method.joint(masked_mean(losses, torch.ones_like(losses)), director_loss))
    return torch.cat(joined).mean()


def brute_force_posterior(method: PredGen, prompt: torch.Tensor) -> torch.Tensor:
    scores = []
    for answer in range(method.table.answers):
        ids = method.table.targets[answer][method.table.target_mask[answer]][
            :-1
        ]  # no grid's answer needs its terminator
        logits = method.writer.lm(input_ids=torch.cat([prompt, ids])[None], use_cache=False).logits[0]
        logs = logits[len(prompt) - 1 : -1].log_softmax(dim=1)
        scores.append(logs.gather(1, ids[:, None]).sum())
    return torch.stack(scores)[None].log_softmax(dim=1)


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_the_shared_prompt_changes_neither_loss_nor_gradients(
    precise_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast, director_kind: str, probability: float
) -> None:
    method = build(precise_model, byte_level, director_kind, probability).train()
    inputs = batch(byte_level, dtype=precise_model.dtype)
    exact = precise_model.dtype == torch.float64
    loss = method(**inputs, step=3).loss
    loss.backward()
    shared = gradients(method)
    method.zero_grad()
    plain = plain_two_pass(method, inputs, step=3)
    plain.backward()
    assert loss.item() == pytest.approx(plain.item(), rel=1e-9 if exact else 1e-5)
    assert shared.keys() == gradients(method).keys()
    for name, gradient in gradients(method).items():
        assert (shared[name] - gradient).norm() <= (1e-5 if exact else 1e-3) * gradient.norm() + 1e-6, name


def test_p_zero_is_teacher_forcing(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    method = build(llama.double(), byte_level, probability=0.0)
    generator = Generator(method.writer, method.table, WriterLoss())
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


@pytest.mark.parametrize("name", ["predgen", "adaptive", "generator", "predictor"])
def test_only_what_should_learn_moves(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, name: str) -> None:
    predgen = build(llama, byte_level, probability=1.0, loss="adaptive" if name == "adaptive" else "wdal_released")
    method = {
        "generator": lambda: Generator(predgen.writer, predgen.table, WriterLoss()),
        "predictor": lambda: Predictor(predgen.writer, "classification", 5, "attention"),
    }.get(name, lambda: predgen)()
    for parameter in method.parameters():  # heads start at zero, and hold the gradient of all before them there
        if parameter.requires_grad and not parameter.any():
            nn.init.normal_(parameter, std=0.5)
    before = {name: parameter.detach().clone() for name, parameter in method.named_parameters()}
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    method(**batch(byte_level, dtype=torch.float32), step=0).loss.backward()
    optimizer.step()
    moved = {name for name, parameter in method.named_parameters() if not torch.equal(parameter, before[name])}
    learns = ("director.", "joint.", "pool.", "output.")
    assert moved == {name for name in before if "lora_" in name or name.startswith(learns)}


@pytest.mark.parametrize("kind", ["numbers", "prompt_too"])
def test_the_director_reads_the_greedy_answer(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, kind: str
) -> None:
    method = build(llama.double(), byte_level, kind).eval()
    inputs = batch(byte_level)
    scores = method.score(inputs["prompt_ids"], inputs["prompt_mask"])
    for row in range(4):
        prompt = inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()].tolist()
        answer = int(scores.greedy[row])
        ids = method.table.targets[answer][method.table.target_mask[answer]].tolist()[:-1]
        output = method.writer.lm(input_ids=torch.tensor([prompt + ids]), output_hidden_states=True, use_cache=False)
        before, states = output.hidden_states[-1].split([len(prompt), len(ids)], dim=1)
        mask = torch.ones(1, len(ids), dtype=torch.bool)
        answer = Answer(states, mask, output.logits[:, len(prompt) :], before, torch.ones(1, len(prompt)))
        expected = method.director.value(answer)
        assert scores.value[row].item() == pytest.approx(expected.item(), rel=1e-6)


def test_pooled_directors_share_the_prompt_too(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    method = build(llama.double(), byte_level, "attention", 0.5).train()
    inputs = batch(byte_level)
    assert method(**inputs, step=3).loss.item() == pytest.approx(
        plain_two_pass(method, inputs, step=3).item(), rel=1e-9
    )


@pytest.mark.parametrize(
    ("own", "mode"),
    [
        *((own, mode) for own in ("greedy", "sample") for mode in ("token", "sequence", "parallel", "batch")),
        *(("free", mode) for mode in ("token", "sequence", "batch")),
    ],
)
def test_p_zero_is_teacher_forcing_in_every_mode(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, own: OwnTokens, mode: SamplingMode
) -> None:
    """As far as the loss goes: a coin that never comes up is the same as none."""
    never = build(llama.double(), byte_level, probability=1e-300, mode=mode, own=own)
    inputs = batch(byte_level)
    sampled = never(**inputs, step=0)
    never.sampling = never.sampling._replace(schedule=build_schedule("constant", 0.0, 0.0, 1))
    assert torch.allclose(sampled.writer_loss, never(**inputs, step=0).writer_loss)
    assert torch.allclose(sampled.director_loss, never(**inputs, step=0).director_loss)


def test_without_a_director_only_the_writer_learns(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    method = build(llama.double(), byte_level, probability=1.0)
    method.director = None
    inputs = batch(byte_level)
    output = method(**inputs, step=0)
    assert output.director_loss is None
    assert output.loss.item() == pytest.approx(output.writer_loss.mean().item())
    plain = PredGen(method.writer, method.table, None, method.writer_loss, method.joint, method.sampling)
    assert plain.reader_name is None
    assert plain.score(inputs["prompt_ids"], inputs["prompt_mask"]).class_logits is None


def test_losses_joined_on_means_are_not_the_mean_of_joined_losses(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    method = build(llama.double(), byte_level, probability=0.5, loss_of="batch")
    output = method(**batch(byte_level), step=0)
    a, b = output.writer_loss.mean(), output.director_loss.mean()
    assert output.loss.item() == pytest.approx(((1 + a) * (1 + b) + ((1 + a) * (1 + b)).log()).item())
    method.loss_of = "rows"
    assert method(**batch(byte_level), step=0).loss.item() != pytest.approx(output.loss.item(), rel=1e-3)


def test_the_expected_values_gradient_reaches_the_writer(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    method = build(llama.double(), byte_level, "expected", loss="director_only")
    inputs = batch(byte_level)
    method(**inputs, step=0).loss.backward()
    name, parameter = next((n, p) for n, p in method.named_parameters() if p.requires_grad and "layers.0" in n)
    analytic = parameter.grad[0, 0].item()
    losses = []
    for shift in (1e-3, -2e-3):  # wide, since Llama's norms are float32 inside
        with torch.no_grad():
            parameter[0, 0] += shift
        losses.append(method(**inputs, step=0).loss.item())
    assert analytic == pytest.approx((losses[0] - losses[1]) / 2e-3, rel=1e-3), name


def test_a_rows_weight_multiplies_its_loss(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    method = build(llama.double(), byte_level, "numbers", probability=0.5)
    inputs = batch(byte_level)
    alone = [
        method(**{name: tensor[row : row + 1] for name, tensor in inputs.items()}, step=0).loss.item()
        for row in range(4)
    ]
    inputs["weight"] = torch.tensor([0.0, 1.0, 3.0, 0.0]).double()
    assert method(**inputs, step=0).loss.item() == pytest.approx((alone[1] + 3 * alone[2]) / 4)
    for baseline in (
        Generator(method.writer, method.table, WriterLoss()),
        Predictor(method.writer, "regression", 1, "last").double(),
    ):
        losses = baseline(**inputs, step=0)
        rows = losses.writer_loss if losses.writer_loss is not None else losses.director_loss
        assert losses.loss.item() == pytest.approx((rows[1] + 3 * rows[2]).item() / 4)
