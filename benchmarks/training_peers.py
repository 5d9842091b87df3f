"""What predgen's step is compared with in `training.py`: two trainers that people use, the paper's released step."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache, Trainer, TrainingArguments

from predgen.answers.spaces import LabelSet
from training_task import Batch, Step, learned

# Of Trainer and SFTTrainer alike: nothing is logged, saved or sent.
_QUIET: dict[str, Any] = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "no"}


def sequence_classification(model: Any, batch: Batch, tokenizer: Any, checkpointing: bool, device: str) -> Step:
    """The training step of transformers' Trainer on the prompts, for a model with a classification head."""
    arguments = TrainingArguments(
        output_dir=_folder(),
        per_device_train_batch_size=len(batch.prompts),
        gradient_checkpointing=checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        use_cpu=device == "cpu",
        **_QUIET,
    )
    labels = batch.inputs["answer_index" if isinstance(batch.space, LabelSet) else "target"]
    rows = [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": label}
        for ids, label in zip(batch.prompts.tolist(), labels.tolist(), strict=True)
    ]
    return _step(Trainer(model, arguments, train_dataset=rows, processing_class=tokenizer), rows)


def supervised_fine_tuning(model: Any, batch: Batch, tokenizer: Any, checkpointing: bool, device: str) -> Step:
    """The training step of TRL's SFTTrainer, the loss over the answers and their terminators alone.

    Passes are in the weights' own precision.
    """
    return _sft(model, batch, tokenizer, use_cpu=device == "cpu", bf16=False, gradient_checkpointing=checkpointing)


def supervised_fine_tuning_as_shipped(model: Any, batch: Batch, tokenizer: Any, device: str) -> Step:
    """The same as SFTConfig has it where nothing is said: float32 weights, passes cast to bfloat16, checkpointing."""
    return _sft(model, batch, tokenizer, use_cpu=device == "cpu")


def _sft(model: Any, batch: Batch, tokenizer: Any, **settings: Any) -> Step:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # a trainer reports that it was made
    import datasets
    from trl import SFTConfig, SFTTrainer

    datasets.disable_progress_bars()
    arguments = SFTConfig(
        output_dir=_folder(),
        per_device_train_batch_size=len(batch.prompts),
        completion_only_loss=True,
        **settings,
        **_QUIET,
    )
    prompt, length = batch.prompts.shape[1], batch.texts.shape[1]
    rows = datasets.Dataset.from_list(
        [{"input_ids": ids, "completion_mask": [0] * prompt + [1] * (length - prompt)} for ids in batch.texts.tolist()]
    )
    trainer = SFTTrainer(model, arguments, train_dataset=rows, processing_class=tokenizer)
    return _step(trainer, list(trainer.train_dataset))


def _step(trainer: Trainer, rows: Sequence[Any]) -> Step:
    """What `Trainer.train` does to a batch: forward and backward; then the gradients are dropped."""
    inputs = trainer.data_collator(list(rows))
    if trainer.args.activation_checkpointing:
        kwargs = trainer.args.activation_checkpointing_kwargs
        trainer.model.activation_checkpointing_enable(activation_checkpointing_kwargs=dict(kwargs or {}) or None)
    model = trainer.accelerator.prepare(trainer.model)
    trainer.model_wrapped = model
    (inputs,), items = trainer.get_batch_samples(iter([inputs]), 1, trainer.args.device)
    trainer.current_gradient_accumulation_steps = 1

    return Step(lambda: trainer.training_step(model, dict(inputs), items).detach(), learned(model))


def released(lm: Any, batch: Batch, checkpointing: bool) -> Step:
    """The paper's released step at p = 1, restated from what it does (Kowsher/PredGen, modeling.py, 6e82000).

    The answer is written token by token over the whole vocabulary, as many tokens as gold has, in evaluation mode with
    a cache, by passes whose graph is kept though no loss reads it. Then, in training mode, prompt and answer are read
    again for the logits of every position: the writer's loss is over all of them; the director's reads them all for
    classes, and is the ordered penalty at the answer's positions for numbers. Both are means of the batch.
    Checkpointing holds for training mode alone, so that it does not spare what the writing keeps.
    """
    if checkpointing:
        lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    rows, width = batch.prompts.shape[0], batch.answers.shape[1]
    labels = isinstance(batch.space, LabelSet)
    device = batch.prompts.device
    outputs = batch.table.answers
    vocabulary = int(lm.config.vocab_size)
    director = nn.Sequential(nn.Linear(vocabulary, 10), nn.Linear(10, outputs)).to(device) if labels else None
    places = torch.linspace(59, 2, 59, device=device)
    places = (places / places.mean())[:width]

    def write() -> tuple[Tensor, DynamicCache]:
        text, shown, cache = batch.prompts, batch.prompts, DynamicCache()
        for _ in range(width):
            logits = lm(input_ids=shown, past_key_values=cache, use_cache=True).logits
            shown = logits[:, -1:].argmax(dim=-1)
            text = torch.cat([text, shown], dim=1)
        return text, cache

    def run() -> Tensor:
        lm.eval()
        text, _graph = write()  # the cache's tensors hold the graph of all these passes until the step is over
        lm.train()
        logits = lm(input_ids=text, use_cache=False).logits.float()
        writer = functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch.texts[:, 1:].flatten())
        if director is None:
            copying = functional.cross_entropy(
                logits[:, -width:].flatten(0, 1), batch.answers.flatten(), reduction="none"
            )
            read = (copying.view(rows, width) * places).mean()
        else:
            read = functional.cross_entropy(director(logits).mean(dim=1), batch.inputs["answer_index"])
        gap = (torch.log1p(writer) - torch.log1p(read)).abs()
        joint = torch.log1p(writer) + torch.log1p(read) + (1 + torch.maximum(writer, read)).square() * torch.exp(-gap)
        joint.backward()
        return joint.detach()

    return Step(run, learned(lm, director))


def _folder() -> str:
    return str(Path(tempfile.gettempdir()) / "predgen-bench")
