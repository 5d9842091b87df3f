"""Tiny models and tokenizers, built from configs with fixed seeds; nothing is downloaded."""

from __future__ import annotations

import copy
import importlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from predgen.answers.build import build_table
from predgen.answers.spaces import LabelSet, Space
from predgen.config import Pooling
from predgen.model.baselines import Generator, Predictor
from predgen.model.director import ClassDirector, ValueDirector
from predgen.model.losses import wdal_released
from predgen.model.pooling import AttentionPool, MeanPool
from predgen.model.predgen import PredGen, Sampling
from predgen.model.scale import Scale
from predgen.model.schedules import build_schedule
from predgen.model.writer import Writer
from predgen.model.writer_loss import WriterLoss

if TYPE_CHECKING:
    from playwright.sync_api import Browser

torch.set_num_threads(1)  # tiny models lose more to the hand-over between threads than they gain
os.environ.setdefault("OMP_NUM_THREADS", "1")  # so do the processes that tests start; and tests run side by side

REQUIRED = ("model", "browser")  # markers whose tests may be skipped, unless --require-… forbids it
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

CORPUS = [
    "The film was very good and I liked it a lot.",
    "A bad film, not good enough, simply terrible.",
    "good goods enough very bad badly positive negative neutral Answer: Rating:",
    "\nAnswer: +2.7\nAnswer: -0.3\nAnswer: 13.4 positive\nAnswer: negative",
    "0 1 2 3 4 5 6 7 8 9 + - . , ! ? x",
]


def byte_level_tokenizer(digits_apart: bool = True) -> PreTrainedTokenizerFast:
    """As GPT-2, Llama 3 and SmolLM2 have: bytes, the leading space inside the token, no BOS."""
    tokenizer = Tokenizer(models.BPE())
    steps = [pre_tokenizers.Digits(individual_digits=True)] if digits_apart else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")


def sentencepiece_tokenizer() -> PreTrainedTokenizerFast:
    """As Llama 2 and Mistral have: a mark for the leading space, one in front of every text, and a BOS."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence([decoders.Metaspace(replacement="▁", prepend_scheme="first")])
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )


def tiny_llama(vocabulary: int = 512) -> PreTrainedModel:
    """Two layers, four query heads on two key-value heads."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    return _seeded(lambda: LlamaForCausalLM(config))


def tiny_gpt2(vocabulary: int = 512) -> PreTrainedModel:
    """Learned positions and a Conv1D in place of linear layers."""
    config = GPT2Config(
        vocab_size=vocabulary,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=256,
        resid_pdrop=0,
        embd_pdrop=0,
        attn_pdrop=0,
    )
    return _seeded(lambda: GPT2LMHeadModel(config))


def tiny_qwen2(vocabulary: int = 512) -> PreTrainedModel:
    """Biases on the projections."""
    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
    )
    return _seeded(lambda: Qwen2ForCausalLM(config))


def tiny_mistral(vocabulary: int = 512) -> PreTrainedModel:
    """A window on every layer, shorter than most prompts."""
    config = MistralConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        sliding_window=6,
    )
    return _seeded(lambda: MistralForCausalLM(config))


def tiny_gemma2(vocabulary: int = 512) -> PreTrainedModel:
    """Full and windowed layers in turn, logits that are capped, no fused attention."""
    config = Gemma2Config(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        query_pre_attn_scalar=8,
        max_position_embeddings=256,
        sliding_window=6,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=8.0,
    )
    return _seeded(lambda: Gemma2ForCausalLM(config))


def _seeded(build: Callable[[], PreTrainedModel]) -> PreTrainedModel:
    torch.manual_seed(0)
    model = build().eval()
    # Freshly initialised models are nearly uniform over the vocabulary; a wider spread makes wrong masks visible.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "norm" not in name:
                parameter.normal_(0.0, 0.25)
    return model


TINY_MODELS = {
    "llama": tiny_llama,
    "gpt2": tiny_gpt2,
    "qwen2": tiny_qwen2,
    "mistral": tiny_mistral,
    "gemma2": tiny_gemma2,
}


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Loads a file of `benchmarks/` by its name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module


@pytest.fixture(scope="session")
def _llama_once() -> PreTrainedModel:
    return tiny_llama()


@pytest.fixture
def llama(_llama_once: PreTrainedModel) -> PreTrainedModel:
    """A fresh copy of the tiny Llama for each test."""
    return copy.deepcopy(_llama_once)


@pytest.fixture(params=sorted(TINY_MODELS))
def tiny_model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """Each tiny architecture in turn."""
    return TINY_MODELS[request.param]()


@pytest.fixture(scope="session")
def byte_level() -> PreTrainedTokenizerFast:
    """The byte-level tokenizer."""
    return byte_level_tokenizer()


@pytest.fixture(scope="session")
def merged_digits() -> PreTrainedTokenizerFast:
    """The byte-level tokenizer that may write several digits, or a space and a digit, as one token."""
    return byte_level_tokenizer(digits_apart=False)


@pytest.fixture(scope="session")
def sentencepiece() -> PreTrainedTokenizerFast:
    """The SentencePiece-like tokenizer."""
    return sentencepiece_tokenizer()


@pytest.fixture(scope="session", params=["byte_level", "merged_digits", "sentencepiece"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    """Each kind of tokenizer in turn."""
    return {
        "byte_level": lambda: byte_level_tokenizer(),
        "merged_digits": lambda: byte_level_tokenizer(digits_apart=False),
        "sentencepiece": sentencepiece_tokenizer,
    }[request.param]()


def build_tiny_method(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, space: Space) -> nn.Module:
    """An untrained method, a predictor by its pooling's name, whose director or head is not zero."""
    torch.manual_seed(1)
    writer = Writer(model)
    if name in ("first", "last", "mean", "attention"):
        pooling: Pooling = name
        method: nn.Module = Predictor(writer, "classification", 5, pooling)
        own = [*method.pool.parameters(), *method.output.parameters()]
    else:
        table = build_table(space, tokenizer, "\nAnswer:", writer.vocabulary_size)
        if name == "generator":
            return Generator(writer, table, WriterLoss()).eval()
        size = writer.hidden_size
        classes = len(space.labels) if isinstance(space, LabelSet) else None
        too = name == "predgen, prompt too"
        pool = AttentionPool(size) if too else MeanPool()
        director = (
            ClassDirector(pool, size, classes, too) if classes else ValueDirector(pool, size, Scale(), reads_prompt=too)
        )
        sampling = Sampling(build_schedule("constant", 1.0, 1.0, 1), "token", "greedy", seed=0)
        method = PredGen(writer, table, director, WriterLoss(), wdal_released, sampling)
        own = list(director.parameters())
    for parameter in own:
        nn.init.normal_(parameter)
    return method.eval()


@pytest.fixture(scope="session")
def tiny_method() -> Callable[[str, PreTrainedModel, PreTrainedTokenizerFast, Space], nn.Module]:
    """Builds an untrained method of a name, on a model, for a space."""
    return build_tiny_method


@pytest.fixture
def tiny_folder(llama: PreTrainedModel, byte_level: PreTrainedTokenizerFast, tmp_path: Path) -> Iterator[Path]:
    """A tiny Llama and its tokenizer, saved as a user would have them on disk."""
    folder = tmp_path / "tiny-llama"
    llama.save_pretrained(folder)
    byte_level.save_pretrained(folder)
    yield folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium of the system's; a test that asks for it is marked `browser`."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev).")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"No Chromium is installed: none of {', '.join(BROWSERS)} was found.")
    # Root may not use Chromium's sandbox; containers run tests as root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with driver.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def tiny_base(
    tmp_path_factory: pytest.TempPathFactory, _llama_once: PreTrainedModel, byte_level: PreTrainedTokenizerFast
) -> Path:
    """The tiny Llama and its tokenizer on disk, the same for all tests; nobody writes there."""
    folder = tmp_path_factory.mktemp("tiny-base")
    _llama_once.save_pretrained(folder)
    byte_level.save_pretrained(folder)
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    for name in REQUIRED:
        parser.addoption(f"--require-{name}", action="store_true", help=f"Fail if a test marked `{name}` is skipped.")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    for name in REQUIRED:
        if report.skipped and item.get_closest_marker(name) and item.config.getoption(f"--require-{name}"):
            report.outcome = "failed"
            report.longrepr = f"A test marked `{name}` was skipped, and --require-{name} forbids that."
