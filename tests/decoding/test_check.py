from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, MambaConfig, MambaForCausalLM, PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from predgen.answers.spaces import LabelSet
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.data.batches import pad_prompts
from predgen.data.prompts import PromptEncoder
from predgen.decoding.check import choose_scoring, plain_log_prob
from predgen.decoding.score import score_trie
from predgen.errors import ModelError
from predgen.model.rereading import PathwiseWriter
from predgen.model.writer import Writer

CUE = "\nAnswer:"
BODIES = ["bad", "The film was very good and I liked it", "a good one"]


@pytest.fixture
def table(byte_level: Tokenizer) -> AnswerTable:
    return AnswerTable(build_trie(LabelSet(("good", "good enough", "goods", "bad", "very bad")), byte_level, CUE))


@pytest.fixture
def prompts(byte_level: Tokenizer) -> list[list[int]]:
    return [PromptEncoder(byte_level, CUE, 100)(body).ids for body in BODIES]


def bloom() -> PreTrainedModel:
    """Derives its positions from the mask alone (ALiBi)."""
    torch.manual_seed(0)
    return BloomForCausalLM(BloomConfig(vocab_size=512, hidden_size=32, n_layer=2, n_head=4)).eval()


def mamba() -> PreTrainedModel:
    """Recurrent: no keys and values."""
    torch.manual_seed(0)
    config = MambaConfig(vocab_size=512, hidden_size=32, num_hidden_layers=2, state_size=8, intermediate_size=64)
    return MambaForCausalLM(config).eval()


def test_a_tested_architecture_is_not_asked(
    llama: PreTrainedModel, table: AnswerTable, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Writer, "branch", lambda *args: pytest.fail("asked"))
    assert choose_scoring(llama, table, prompts, print) == "tree"


def test_an_unknown_architecture_that_branches_does(
    llama: PreTrainedModel, table: AnswerTable, prompts: list[list[int]]
) -> None:
    llama.config.model_type = "something new"
    assert choose_scoring(llama, table, prompts, lambda line: pytest.fail(line)) == "tree"


def test_one_that_does_not_is_scored_path_by_path_aloud(
    llama: PreTrainedModel, table: AnswerTable, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    llama.config.model_type = "something new"
    honest, said = Writer.branch, list[str]()
    monkeypatch.setattr(
        Writer, "branch", lambda self, prefix, ids, depth, sees: honest(self, prefix, ids, depth + 3, sees)
    )
    assert choose_scoring(llama, table, prompts, said.append) == "paths"
    assert "cannot branch" in said[0] and "several times as long" in said[0]


def test_one_that_fails_without_a_word_is_scored_path_by_path_too(
    llama: PreTrainedModel, table: AnswerTable, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_implemented(*arguments: object) -> None:
        raise NotImplementedError

    llama.config.model_type, said = "something new", list[str]()
    monkeypatch.setattr(Writer, "branch", not_implemented)
    assert choose_scoring(llama, table, prompts, said.append) == "paths"
    assert "(NotImplementedError)" in said[0]


def test_one_that_does_not_follow_its_mask_is_refused(
    llama: PreTrainedModel, table: AnswerTable, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    llama.config.model_type = "something new"
    honest = llama.forward
    monkeypatch.setattr(llama, "forward", lambda *args, attention_mask=None, **rest: honest(*args, **rest))
    with pytest.raises(ModelError, match="cannot be used"):
        choose_scoring(llama, table, prompts, print)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [bloom, mamba])
def test_models_that_cannot_branch_score_as_plain_passes_do(
    make: Callable[[], PreTrainedModel], table: AnswerTable, prompts: list[list[int]]
) -> None:
    model, said = make(), list[str]()
    assert choose_scoring(model, table, prompts, said.append) == "paths"
    assert said
    writer = PathwiseWriter(model)
    scored = score_trie(writer, writer.prefill(*pad_prompts(prompts)), table)
    with torch.no_grad():
        plain = [[plain_log_prob(writer, table, prompt, answer) for answer in range(5)] for prompt in prompts]
    assert (scored.log_probs - torch.tensor(plain)).abs().max() < 1e-4
