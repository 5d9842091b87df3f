"""The models of the paper's tables, and what is known of them without loading one."""

from __future__ import annotations

from dataclasses import dataclass

from predgen.config import Precision
from predgen.errors import ConfigError, nearest


@dataclass(frozen=True)
class Size:
    """What memory and time follow from.

    Args:
        parameters: All of them.
        layers: Decoder layers.
        hidden: Width of the states.
        inner: Width of the feed-forward layers.
        key_value: Width of keys, and of values.
        vocabulary: Tokens.
    """

    parameters: int
    layers: int
    hidden: int
    inner: int
    key_value: int
    vocabulary: int

    def adapter_parameters(self, rank: int) -> int:
        """What LoRA of this rank learns on all linear layers; other methods are of the same order or smaller."""
        into_and_out = 2 * (self.hidden + self.hidden)  # query and output projection
        into_and_out += 2 * (self.hidden + self.key_value)  # keys and values
        into_and_out += 3 * (self.hidden + self.inner)  # gate, up and down
        return self.layers * rank * into_and_out


@dataclass(frozen=True)
class ReproducedModel:
    """A base model of the grid.

    Args:
        name: What ``--models`` takes.
        base: `model.name` of a run: a hub id, or a name that `predgen models` lists.
        printed: As the paper's tables call it; None where they do not have it.
        size: Its numbers; None where they are read from the files.
        precision: Its weights at the scale ``paper``; the paper does not say.
        note: What a reader should know.
    """

    name: str
    base: str
    printed: str | None
    size: Size | None
    precision: Precision = "bf16"
    note: str = ""


_LLAMA_3 = Size(8_030_261_248, 32, 4096, 14336, 1024, 128_256)

TINY = "tiny"
MODELS: dict[str, ReproducedModel] = {
    model.name: model
    for model in (
        ReproducedModel(
            TINY,
            TINY,
            None,
            Size(29_000, 2, 32, 64, 16, 500),
            "fp32",
            "two random layers, made where they are needed: for trying the grid, not for results",
        ),
        ReproducedModel(
            "smollm2-135m",
            "smollm2-135m",
            None,
            Size(134_515_008, 30, 576, 1536, 192, 49_152),
            "fp32",
            "Q4_1 weights, dequantised",
        ),
        ReproducedModel(
            "llama2-7b",
            "meta-llama/Llama-2-7b-hf",
            "Llama2-7B",
            Size(6_738_415_616, 32, 4096, 11008, 4096, 32_000),
        ),
        ReproducedModel(
            "llama2-13b",
            "meta-llama/Llama-2-13b-hf",
            "Llama2-13B",
            Size(13_015_864_320, 40, 5120, 13824, 5120, 32_000),
        ),
        ReproducedModel(
            "llama3-8b",
            "meta-llama/Meta-Llama-3-8B",
            "Llama2-8B",
            _LLAMA_3,
            note="the tables print Llama2-8B, which does not exist",
        ),
        ReproducedModel(
            "mistral-7b",
            "mistralai/Mistral-7B-v0.1",
            "Mistral-7B",
            Size(7_241_732_096, 32, 4096, 14336, 1024, 32_000),
            note="the paper names no version",
        ),
        ReproducedModel(
            "gemma2-9b", "google/gemma-2-9b", "Gemma2-9B", Size(9_241_705_984, 42, 3584, 14336, 2048, 256_000)
        ),
        ReproducedModel(
            "deepseek-r1-8b",
            "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
            "DeepSeek-R1-8B",
            _LLAMA_3,
            note="the only DeepSeek-R1 of 8B is the one distilled into Llama 3",
        ),
    )
}


def find_model(name: str) -> ReproducedModel:
    """A model by its name here, or any other by hub id or local path.

    Raises:
        ConfigError: If it is neither known nor looks like one of these; the known are listed.
    """
    for model in MODELS.values():
        if name in (model.name, model.base):
            return model
    if "/" in name or "\\" in name:
        return ReproducedModel(name.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1].lower(), name, None, None)
    raise ConfigError(
        f"Unknown model {name!r}:", nearest(name, MODELS), "Any other goes by hub id (owner/name) or a path with '/'."
    )


def printed_name(name: str) -> str | None:
    """What the paper's tables call a model of this name; None where they do not have it."""
    return MODELS[name].printed if name in MODELS else None
