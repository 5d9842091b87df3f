"""A run's optimisation settings in the words of `transformers.TrainingArguments`."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from transformers import TrainingArguments

from predgen.config import TrainConfig
from predgen.metrics import METRICS
from predgen.training.passes import Division
from predgen.training.run_folder import CHECKPOINTS


def trainer_arguments(
    config: TrainConfig, total_steps: int, folder: Path, metric: str, mixed: bool, division: Division
) -> TrainingArguments:
    """Puts a run's settings in the Trainer's words.

    Args:
        config: Of optimisation.
        total_steps: Optimizer steps of the whole run.
        folder: The run folder.
        metric: What selects the checkpoint.
        mixed: Whether the weights that learn are the base's own, which stay in float32 while the passes are cast; a
            frozen base is held in the lower precision itself, and needs no casting.
        division: How a step's rows are divided into passes.
    """
    every = math.ceil(total_steps / config.evaluations)  # the last step is scored whatever it is
    arguments = TrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        max_steps=total_steps,
        per_device_train_batch_size=division.width,
        gradient_accumulation_steps=division.passes,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        max_grad_norm=config.clip,
        lr_scheduler_type="constant_with_warmup" if config.schedule == "constant" else config.schedule,
        warmup_steps=math.ceil(config.warmup * total_steps if config.warmup <= 1 else min(config.warmup, total_steps)),
        use_cpu=not torch.cuda.is_available(),
        bf16=mixed and config.precision == "bf16",
        fp16=config.precision == "fp16",
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=max(1, total_steps // 100),
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        load_best_model_at_end=True,
        metric_for_best_model=metric,
        greater_is_better=METRICS[metric].greater_is_better,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",  # trackers come as callbacks
        logging_nan_inf_filter=False,  # such losses are refused before
        ddp_broadcast_buffers=False,  # no buffer changes while training
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # several GPUs take several processes; in one the Trainer would divide each batch itself
    return arguments
