"""The language models that `training.py` trains: SmolLM2-135M, or a Llama of random weights in a size to be timed."""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from predgen.config import PeftConfig, Precision
from predgen.model.bases import load_base, skeleton
from predgen.peft_methods import peft_method

SMOLLM2 = "smollm2-135m"
DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Times do not ask what the weights are. Sizes as Llama 3 has them; prompts are SmolLM2's tokens all the same.
RANDOM: dict[str, LlamaConfig] = {
    "tiny": LlamaConfig(
        vocab_size=49152, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True,
    ),
    "tiny-1b": LlamaConfig(
        vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
        num_key_value_heads=8, head_dim=64, tie_word_embeddings=True,
    ),
    "8b": LlamaConfig(
        vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8,
    ),
}  # fmt: skip
MODELS = (SMOLLM2, *RANDOM)


def smollm2() -> tuple[str, PreTrainedTokenizerBase]:
    """Its folder, and the tokenizer that writes prompts and answers of every model; no weights are read."""
    folder = str(skeleton(SMOLLM2).config._name_or_path)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return folder, tokenizer


def load_model(name: str, precision: Precision, device: str) -> Any:
    """A causal language model with LoRA r = 8 on all linear layers, as predgen loads and adapts it."""
    if name == SMOLLM2:
        model = load_base(SMOLLM2, precision=precision).model.to(device)
    else:
        model = _random(AutoModelForCausalLM, copy.deepcopy(RANDOM[name]), precision, device)
    return peft_method("lora").build(model, PeftConfig(), total_steps=1)


def load_classifier(name: str, precision: Precision, device: str, outputs: int) -> Any:
    """The same decoder and LoRA under transformers' classification head; one output is trained by squared error."""
    import peft

    if name == SMOLLM2:
        folder, tokenizer = smollm2()
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=outputs, pad_token_id=tokenizer.pad_token_id, dtype=DTYPES[precision],
            local_files_only=True,
        ).to(device)  # fmt: skip
    else:
        config = copy.deepcopy(RANDOM[name])  # trainers write into a model's own
        config.num_labels, config.pad_token_id = outputs, smollm2()[1].pad_token_id
        model = _random(AutoModelForSequenceClassification, config, precision, device)
    return peft.get_peft_model(
        model, peft.LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules="all-linear")
    )


def _random(kind: Any, config: LlamaConfig, precision: Precision, device: str) -> PreTrainedModel:
    torch.manual_seed(0)
    with torch.device(device):
        model: PreTrainedModel = kind.from_config(config, dtype=DTYPES[precision])
    return model
