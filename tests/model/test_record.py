from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.fields import build_fields
from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.config import PeftConfig
from predgen.config_reading import load_config
from predgen.data.batches import TrainingRow, collate, pad_prompts
from predgen.data.prompts import PromptEncoder
from predgen.model.build import build_fields_method, build_method
from predgen.model.outputs import Scores
from predgen.model.record import RecordMethod
from predgen.model.rereading import PathwiseWriter, RereadingWriter
from predgen.model.scale import Scale
from predgen.model.setting import Setting
from predgen.model.writer import Writer
from predgen.peft_methods import peft_method

CUE = "\nAnswer:"
BODIES = ["bad", "The film was very good and I liked it a lot", "a good one"]
NAMES = ["mood", "mood of it", "stars"]
SPACES = [LabelSet(("good", "good enough", "bad")), LabelSet(("yes", "no")), NumberGrid(-1, 1, 1)]
TASKS = ["classification", "classification", "regression"]
GOLD = [(2, 0, 0), (0, 1, 20), (1, 0, 13)]


def build(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    method: str,
    *assignments: str,
    writer: type[Writer] = Writer,
) -> RecordMethod:
    """A record of three fields in float64."""
    torch.manual_seed(1)
    adapted = peft_method("lora").build(copy.deepcopy(model), PeftConfig(rank=4), total_steps=9)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.2)
    config = load_config(assignments=[f"method={method}", "sampling.start=1", *assignments])
    tables, cues = build_fields(NAMES, SPACES, tokenizer, CUE, 512, [()] * 3)
    settings = [Setting(config, task, space, 10, Scale(0.1, 0.7)) for task, space in zip(TASKS, SPACES, strict=True)]
    built = build_fields_method(writer(adapted), tables, cues, settings)
    assert isinstance(built, RecordMethod)
    for name, parameter in built.named_parameters():
        if not name.startswith("writer."):  # heads start at zero, which would hide half of the gradient
            nn.init.normal_(parameter, std=0.2)
    return built.double().eval()


def encoder(tokenizer: PreTrainedTokenizerFast) -> PromptEncoder:
    return PromptEncoder(tokenizer, CUE, 64)


def batch(tokenizer: PreTrainedTokenizerFast) -> dict[str, torch.Tensor]:
    rows = [
        TrainingRow(ids, gold, tuple(float(each) for each in gold), number, weight)
        for number, (ids, gold, weight) in enumerate(
            zip(encoder(tokenizer).rows(BODIES).prompts, GOLD, (0.5, 1.0, 1.5), strict=True)
        )
    ]
    collated = collate(rows)
    return {key: value.double() if value.is_floating_point() else value for key, value in collated.items()}


def largest_gap(one: Scores, other: Scores) -> float:
    gaps = [
        (a.double() - b.double()).abs().max().item()
        for a, b in zip(one, other, strict=True)
        if a is not None and b is not None
    ]
    assert gaps and [a is None for a in one] == [b is None for b in other]
    return max(gaps)


@pytest.mark.parametrize("method", ["predgen", "generator", "predictor"])
def test_a_field_is_scored_as_a_method_of_its_own_behind_the_written_cue(
    tiny_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast, method: str
) -> None:
    """What the shared prompt and the cue behind it give is what plain prompts that end in the cue give."""
    record = build(tiny_model, byte_level, method).float()
    assert (record.tree is not None) == (method != "predictor")  # written fields are scored in one pass
    prompts = encoder(byte_level).rows(BODIES).prompts
    together = record.answers(*pad_prompts(prompts))
    for place, field in enumerate(record.fields):
        cue = [] if method == "predictor" else field._cue.tolist()  # a head reads the prompt alone
        alone = field.method.score(*pad_prompts([[*prompt, *cue] for prompt in prompts]))
        assert largest_gap(together[place], alone) < 1e-4
        assert largest_gap(together[place], field.score(*pad_prompts(prompts))) < 1e-4


@pytest.mark.parametrize("writer", [RereadingWriter, PathwiseWriter])
def test_where_all_is_read_anew_a_field_takes_one_pass_in_training(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, writer: type[Writer]
) -> None:
    record, passes = build(llama, byte_level, "generator", writer=writer).train(), list[torch.Size]()
    record.writer.lm.get_input_embeddings().register_forward_hook(lambda module, given, out: passes.append(out.shape))
    record(**batch(byte_level), step=0)
    assert len(passes) == len(NAMES)


@pytest.mark.parametrize("writer", [Writer, RereadingWriter, PathwiseWriter])
@pytest.mark.parametrize("method", ["predgen", "generator", "predictor"])
def test_the_loss_is_the_mean_of_the_fields_and_so_is_its_gradient(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, method: str, writer: type[Writer]
) -> None:
    record = build(llama, byte_level, method, writer=writer).train()
    rows = batch(byte_level)
    output = record(**rows, step=0)
    output.loss.backward()
    together = {name: p.grad.clone() for name, p in record.named_parameters() if p.grad is not None}
    record.zero_grad()
    losses = []
    for place, field in enumerate(record.fields):
        prompt = field.read(rows["prompt_ids"], rows["prompt_mask"], to_learn=True)
        step = field.learn(
            prompt,
            rows["answer_index"][:, place],
            rows["target"][:, place],
            rows["row_ids"] * 3 + place,
            rows["weight"],
            0,
        )
        losses.append(step.loss)
    torch.stack(losses).mean().backward()
    assert output.loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-6)
    assert together
    for name, parameter in record.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(together[name], parameter.grad, rtol=1e-4, atol=1e-5)


def test_fields_of_a_row_have_coins_of_their_own(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    from predgen.model import predgen as module

    seen: list[list[int]] = []
    draw = module.draw_coins

    def spy(mode: str, probability: float, seed: int, step: int, row_ids: torch.Tensor, width: int) -> torch.Tensor:
        seen.append(row_ids.tolist())
        return draw(mode, probability, seed, step, row_ids, width)

    monkeypatch.setattr(module, "draw_coins", spy)
    build(llama, byte_level, "predgen")(**batch(byte_level), step=3)
    assert sorted(key for keys in seen for key in keys) == list(range(9))


def test_what_learns_is_named_once(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast) -> None:
    record = build(llama, byte_level, "predictor")
    names = [name for name, _ in record.named_parameters()]
    assert len(names) == len(set(names))
    heads = [name for name in names if not name.startswith("writer.")]
    assert {name.split(".")[1] for name in heads} == {"0", "1", "2"}


def test_one_answer_without_a_cue_is_the_plain_method(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    tables, cues = build_fields(None, SPACES[:1], byte_level, CUE, 512, [()])
    setting = Setting(load_config(assignments=["method=generator"]), "classification", SPACES[0], 10, Scale())
    plain = build_fields_method(Writer(llama), tables, cues, [setting])
    assert type(plain) is type(build_method(Writer(llama), tables[0], setting))
