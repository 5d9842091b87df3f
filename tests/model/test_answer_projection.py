from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional
from transformers import GraniteConfig, GraniteForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config_reading import load_config
from predgen.model.answer_projection import answer_projection
from predgen.model.build import build_fields_method, build_method, build_writer
from predgen.model.predgen import PredGen
from predgen.model.scale import Scale
from predgen.model.setting import Setting

from .tiny_predgen import BODIES, CUE, GRID, batch, gradients

TOKENS = torch.tensor([0, 7, 300, 511])


def method_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, whole: bool = False, *settings: str
) -> PredGen:
    """PredGen on a tiny base with all answers' tokens projected, or the whole vocabulary."""
    config = load_config(assignments=["data.target=y", "task=regression", *settings])
    table = AnswerTable(build_trie(GRID, tokenizer, CUE))
    setting = Setting(config, "regression", GRID, 9, Scale(0.1, 1.7))
    method = build_fields_method(build_writer(model, config, "tree"), [table], [[]], [setting])
    assert isinstance(method, PredGen) and method.writer.projection is not None
    if whole:
        method.writer.projection = None
    return method


def test_only_the_tokens_asked_for_have_logits(tiny_model: PreTrainedModel) -> None:
    projection = answer_projection(tiny_model, TOKENS)
    if tiny_model.config.model_type == "gemma2":
        assert projection is None, "it caps its logits"
        return
    assert projection is not None
    ids = torch.arange(12).view(2, 6)
    asked = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    tiny_model.eval()
    whole = tiny_model(**asked, output_hidden_states=True)
    made = projection(tiny_model, torch.tensor([2, 5]), {**asked, "output_hidden_states": True})
    torch.testing.assert_close(made.logits[..., TOKENS], whole.logits[:, [2, 5]][..., TOKENS])
    assert made.logits.shape == (2, 2, whole.logits.shape[2]) and made.past_key_values is not None
    assert torch.isinf(made.logits).sum() == made.logits.numel() - 2 * 2 * 4
    torch.testing.assert_close(made.hidden_states[-1], whole.hidden_states[-1])


def test_what_is_no_plain_product_is_projected_whole(llama: PreTrainedModel) -> None:
    granite = GraniteForCausalLM(
        GraniteConfig(
            vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, logits_scaling=8.0,
        )
    )  # fmt: skip
    assert answer_projection(granite, TOKENS) is None, "it divides its logits"
    assert answer_projection(get_peft_model(llama, LoraConfig(target_modules=["lm_head"])), TOKENS) is None


@pytest.mark.parametrize("settings", [(), ("sampling.mode=parallel",), ("train.gradient_checkpointing=true",)])
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*")
def test_losses_gradients_and_scores_are_those_of_the_whole_vocabulary(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, settings: tuple[str, ...]
) -> None:
    model, inputs = llama.double(), batch(byte_level)
    model.requires_grad_(True)
    found: list[tuple[Tensor, dict[str, Tensor], Tensor]] = []
    for whole in (True, False):
        model.zero_grad()
        method = method_of(model, byte_level, whole, "sampling.start=0.5", "sampling.end=0.5", *settings).train()
        output = method(**inputs, step=3)
        output.loss.backward()
        scores = method.eval().score(inputs["prompt_ids"], inputs["prompt_mask"])
        found.append((output.loss.detach(), gradients(method), scores.log_posterior))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-12)
    assert found[0][1]["writer.lm.model.embed_tokens.weight"].abs().sum() > 0
    assert len(found[0][2]) == len(BODIES)


@pytest.mark.parametrize("mode", ["token", "parallel"])
def test_own_tokens_are_chosen_among_the_answers_alone_whatever_probabilities_are_taken_over(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    linear = functional.linear
    whole = llama.get_output_embeddings().weight.shape[0]

    def counted(states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        made.append(weight.shape[0])
        return linear(states, weight, bias)

    config = load_config(
        assignments=["data.target=y", "task=regression", "director.kind=value", "writer.normalise=vocabulary"]
        + [f"sampling.{name}" for name in (f"mode={mode}", "start=1", "end=1")]
    )
    inputs, table = batch(byte_level), AnswerTable(build_trie(GRID, byte_level, CUE))
    setting = Setting(config, "regression", GRID, 9, Scale(0.1, 1.7))
    found, projections = [], []
    for build in (build_fields_method, lambda writer, tables, cues, settings: build_method(writer, *tables, *settings)):
        llama.zero_grad()
        torch.manual_seed(0)
        method = build(build_writer(llama.double(), config, "tree"), [table], [[]], [setting])
        assert isinstance(method, PredGen) and method.writer.projection is None
        made.clear()
        monkeypatch.setattr(functional, "linear", counted)
        output = method.double().train()(**inputs, step=1)
        monkeypatch.undo()
        output.loss.backward()
        found.append((output.loss.detach(), output.own_history, gradients(method)))
        projections.append(sum(width == whole for width in made))
    torch.testing.assert_close(found[0], found[1], rtol=1e-7, atol=1e-12)
    assert projections[0] == 2, "behind the prompt, and behind the history"
    assert projections[1] > 2


def test_a_director_that_reads_the_vocabulary_has_all_of_it(
    llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> None:
    config = load_config(assignments=["data.target=y", "director.kind=ordered_released", "writer.normalise=space"])
    writer = build_writer(llama, config, "tree")
    table = AnswerTable(build_trie(GRID, byte_level, CUE))
    method = build_fields_method(writer, [table], [[]], [Setting(config, "regression", GRID, 9, Scale(0.1, 1.7))])
    assert writer.projection is None and isinstance(method, nn.Module)
