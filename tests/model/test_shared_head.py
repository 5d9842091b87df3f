from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.build import build_table
from predgen.answers.spaces import FreeNumber, LabelSet, NumberGrid, Space
from predgen.data.batches import TrainingRow, behind_a_head, collate, pad_prompts
from predgen.decoding import score
from predgen.model import shared_head
from predgen.model.baselines import Generator
from predgen.model.record import RecordMethod
from predgen.model.rereading import PathwiseWriter, RereadingWriter
from predgen.model.shared_head import head_length, prefill_behind, prefill_with_tree, read_head
from predgen.model.writer import Writer
from predgen.model.writer_loss import WriterLoss
from predgen.scoring import score_answers, score_prompts

HEAD = [7, 30, 31, 32, 33, 34, 35, 36, 37, 38]  # longer than the tiny models' windows
RESTS = [[40], [41, 42, 43, 44, 45, 46, 47], [48, 49], [50, 51, 52, 53]]
SPACES: dict[str, Space] = {
    "labels": LabelSet(("good", "good enough", "goods", "bad", "very bad")),
    "grid": NumberGrid(-1, 1, 1),
    "free": FreeNumber(2, 1, True),
}


def assert_same(one: object, other: object, within: float = 1e-4) -> None:
    for first, second in zip(one, other, strict=True):  # type: ignore[call-overload]
        assert (first is None) == (second is None)
        if first is not None:
            assert torch.allclose(first.double(), second.double(), atol=within), (first, second)


METHODS = [
    *itertools.product(("generator", "predgen", "predgen, prompt too"), SPACES),
    *itertools.product(("first", "last", "mean", "attention"), ("labels",)),
]


@pytest.mark.parametrize(("name", "space"), METHODS)
def test_a_shared_head_changes_no_score(
    name: str,
    space: str,
    tiny_model: PreTrainedModel,
    byte_level: PreTrainedTokenizerFast,
    tiny_method: Callable[..., nn.Module],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = tiny_method(name, tiny_model, byte_level, SPACES[space])
    prompts = [HEAD + rest for rest in RESTS]
    alone = [method.score(*pad_prompts([prompt])) for prompt in prompts]  # type: ignore[operator]
    expected = [None if column[0] is None else torch.cat(column) for column in zip(*alone, strict=True)]
    plain = score_prompts(method, prompts, batch_size=3)
    assert_same(plain, expected)
    monkeypatch.setattr(shared_head, "FEWEST_PROMPTS", 2)
    heads = []
    share = method.share
    monkeypatch.setattr(method, "share", lambda ids: heads.append(ids.tolist()) or share(ids))
    assert_same(score_prompts(method, prompts, batch_size=3), expected)
    assert heads == [HEAD]
    # The ways of scoring, prompt and trie in one pass, in several of fewer rows, or apart, behind the head.
    monkeypatch.setattr(score, "_ONE_PASS_LOGITS", 512 * 100)
    assert_same(score_prompts(method, prompts, batch_size=4), expected)
    monkeypatch.setattr(score, "_ONE_PASS_COLUMNS", 0)
    assert_same(score_prompts(method, prompts, batch_size=4), expected)


def test_a_writer_that_rereads_keeps_none(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_head, "FEWEST_PROMPTS", 2)
    table = build_table(SPACES["labels"], byte_level, "\nAnswer:", 512)
    prompts = [HEAD + rest for rest in RESTS]
    method = Generator(PathwiseWriter(llama), table, WriterLoss()).eval()
    assert method.share(torch.tensor(HEAD)) is None
    assert_same(
        score_prompts(method, prompts, batch_size=3),
        score_prompts(Generator(Writer(llama), table, WriterLoss()), prompts, batch_size=3),
    )


def test_prompt_and_tree_in_one_pass_leave_the_prompts_as_a_prefill_does(
    tiny_model: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    writer = Writer(tiny_model)
    table = build_table(SPACES["grid"], byte_level, "\nAnswer:", 512)
    prompts = pad_prompts([HEAD + rest for rest in RESTS])
    with torch.no_grad():
        prefix = writer.prefill(*prompts)
        both = prefill_with_tree(writer, None, *prompts, table, keep_prompt=True)
        apart = writer.branch(prefix, table.node_token[table.inner], table.node_depth[table.inner], table.inner_sees)
    assert torch.allclose(both.logits, apart, atol=1e-4)
    real = prefix.mask.bool()[:, None, :, None]
    for one, other in zip((*prefix.keys, *prefix.values), (*both.prefix.keys, *both.prefix.values), strict=True):
        assert one.shape == other.shape and torch.allclose(one * real, other * real, atol=1e-4)
    assert torch.equal(prefix.mask, both.prefix.mask) and torch.equal(prefix.ids, both.prefix.ids)


def test_behind_a_head_windowed_layers_find_the_padding_in_front(tiny_model: PreTrainedModel) -> None:
    writer = Writer(tiny_model)
    whole, rest = pad_prompts([HEAD + rest for rest in RESTS]), pad_prompts(RESTS)
    with torch.no_grad():
        prefix = prefill_behind(writer, read_head(writer, torch.tensor(HEAD)), *rest)
    behind = torch.cat([torch.ones(len(RESTS), len(HEAD), dtype=torch.long), rest.prompt_mask], dim=1)
    assert torch.equal(prefix.mask, behind if writer.windows is None else whole.prompt_mask)
    if writer.windows is not None:
        assert torch.equal(prefix.ids * prefix.mask, whole.prompt_ids * whole.prompt_mask)


def test_the_head_is_expanded_and_not_copied(llama: PreTrainedModel) -> None:
    head = read_head(Writer(llama), torch.tensor(HEAD))
    over = head.over(1000)
    assert over.keys[0].shape[0] == 1000 and over.keys[0].data_ptr() == head.prefix.keys[0].data_ptr()


def test_what_all_prompts_begin_with() -> None:
    many = [[*HEAD, number, number] for number in range(20)]
    assert head_length(many) == len(HEAD)
    assert head_length([HEAD] * 20) == len(HEAD) - 1  # something must be left to read
    assert head_length([*many, HEAD[:9]]) == 8  # of the shortest too
    assert head_length(many[:3]) == 0 and head_length([[1, 2, number] for number in range(20)]) == 0
    assert head_length([*many, [99, *HEAD]]) == 0


def test_a_record_shares_it_with_every_field(
    tiny_model: PreTrainedModel,
    byte_level: PreTrainedTokenizerFast,
    tiny_method: Callable[..., nn.Module],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    methods = [tiny_method("predgen", tiny_model, byte_level, SPACES[name]) for name in ("labels", "grid")]
    methods[1].writer = methods[0].writer
    record = RecordMethod(methods, [[60, 61], [62]]).eval()
    prompts = [HEAD + rest for rest in RESTS]
    plain = score_answers(record, prompts, batch_size=3)
    monkeypatch.setattr(shared_head, "FEWEST_PROMPTS", 2)
    assert record.share(torch.tensor(HEAD)) is not None
    for one, other in zip(plain, score_answers(record, prompts, batch_size=3), strict=True):
        assert_same(one, other)


LEARNING = [*itertools.product(("generator", "predgen"), ("labels", "grid")), ("last", "labels"), ("mean", "labels")]
EVEN_RESTS = [[40, 41, 42], [43, 44, 45], [46, 47, 48], [49, 50, 51]]


@pytest.mark.parametrize(("name", "space"), LEARNING)
@pytest.mark.parametrize(
    "rests", [RESTS, [[40, 41, 42], [43, 44, 45], [46, 47, 48], [49, 50, 51]]], ids=["lines", "rows"]
)
def test_learning_behind_a_shared_head_changes_neither_loss_nor_gradients(
    name: str,
    space: str,
    rests: list[list[int]],
    tiny_model: PreTrainedModel,
    byte_level: PreTrainedTokenizerFast,
    tiny_method: Callable[..., nn.Module],
) -> None:
    exact = tiny_model.config.model_type != "gemma2"  # its softmax is float32
    method = tiny_method(name, tiny_model, byte_level, SPACES[space]).to(torch.float64 if exact else torch.float32)
    if name in ("last", "mean"):  # a head starts at zero, and holds the gradient of all before it there
        torch.nn.init.normal_(method.output.linear.weight)
    assert method.learns_behind_heads
    rows = [TrainingRow(HEAD + rest, number, 0.5 * number, number) for number, rest in enumerate(rests)]
    found = []
    for batch in (collate(rows), collate(behind_a_head(rows, len(HEAD)))):
        batch.update({key: batch[key].to(tiny_model.dtype) for key in ("target", "weight")})
        loss = method(**batch, step=3).loss
        loss.backward()
        found.append((loss.item(), {key: p.grad.clone() for key, p in method.named_parameters() if p.grad is not None}))
        method.zero_grad()
    assert batch["head_ids"].tolist() == [HEAD] * len(rests)
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-9 if exact else 1e-4)
    assert found[0][1].keys() == found[1][1].keys()
    for key, gradient in found[0][1].items():
        assert (found[1][1][key] - gradient).norm() <= (1e-5 if exact else 1e-3) * gradient.norm() + 1e-6, key


def test_what_reads_its_prompts_anew_or_counts_their_tokens_learns_without_a_head(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    table = build_table(SPACES["labels"], byte_level, "\nAnswer:", 512)
    assert Generator(Writer(llama), table, WriterLoss()).learns_behind_heads
    assert not Generator(Writer(llama), table, WriterLoss(reads_prompt=True)).learns_behind_heads
    assert not Generator(RereadingWriter(llama), table, WriterLoss()).learns_behind_heads
    assert not Generator(PathwiseWriter(llama), table, WriterLoss()).learns_behind_heads
