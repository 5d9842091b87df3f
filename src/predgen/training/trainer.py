"""A thin `transformers.Trainer`: the sampling step goes in, the parts of the loss come out, dev is scored as served."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from predgen.config import TrainConfig
from predgen.data.batches import TrainingRow, collate
from predgen.errors import ModelError
from predgen.metrics import METRICS, better
from predgen.model.outputs import Scores, StepOutput
from predgen.training.run_folder import CHECKPOINTS, DIRECTOR

TRAINED = "trained.safetensors"  # in a checkpoint: every parameter that learns, by name


class DevResult:
    """What a dev evaluation found: every metric under every decision, and the best decision by one metric.

    Args:
        decisions: Decision name → metric name → value.
        metric: The metric that selects.
        scores: Of the dev rows, from which the decisions were made.
    """

    def __init__(self, decisions: Mapping[str, Mapping[str, float]], metric: str, scores: Scores) -> None:
        self.scores = scores
        self.decisions, self.metric = {name: dict(values) for name, values in decisions.items()}, metric
        best = next(iter(decisions))
        for name in decisions:
            if better(metric, decisions[name][metric], decisions[best][metric]):
                best = name
        self.decision, self.value = best, decisions[best][metric]

    def record(self, step: int) -> dict[str, Any]:
        """A line of metrics.jsonl."""
        return {
            "event": "dev",
            "step": step,
            "metric": self.metric,
            "decision": self.decision,
            "value": self.value,
            "decisions": self.decisions,
        }


class PredGenTrainer(Trainer):
    """Trains any of the three methods.

    Args:
        method: The module to train; its forward takes a `TrainingBatch`'s fields and the optimizer step.
        rows: Training rows.
        evaluate_dev: Scores dev through `score_prompts`, from the prompts alone.
        config: Optimisation settings.
        total_steps: Optimizer steps of the whole run.
        folder: The run folder; checkpoints are kept in it while training.
        metric: The metric that selects the checkpoint.
        callbacks: Progress and logs.
    """

    def __init__(
        self,
        method: nn.Module,
        rows: Sequence[TrainingRow],
        evaluate_dev: Callable[[], DevResult],
        config: TrainConfig,
        total_steps: int,
        folder: Path,
        metric: str,
        callbacks: Sequence[TrainerCallback],
    ) -> None:
        self._evaluate_dev, self._metric = evaluate_dev, metric
        self._window: list[StepOutput] = []
        self._window_rows, self._window_start = 0, time.monotonic()
        self.dev_results: dict[int, DevResult] = {}
        every = max(1, total_steps // config.evaluations)
        arguments = TrainingArguments(
            output_dir=str(folder / CHECKPOINTS),
            max_steps=total_steps,
            per_device_train_batch_size=config.batch_size,
            gradient_accumulation_steps=config.accumulate,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            max_grad_norm=config.clip,
            lr_scheduler_type="cosine",
            warmup_steps=math.ceil(config.warmup * total_steps),
            seed=config.seed,
            data_seed=config.seed,
            logging_steps=max(1, total_steps // 100),
            eval_strategy="steps",
            eval_steps=every,
            save_strategy="steps",
            save_steps=every,
            save_total_limit=1,  # the best one is kept besides
            save_only_model=True,  # no pickled optimizer in a run folder
            load_best_model_at_end=True,
            metric_for_best_model=metric,
            greater_is_better=METRICS[metric].greater_is_better,
            remove_unused_columns=False,
            disable_tqdm=True,
            report_to="none",
            dataloader_pin_memory=torch.cuda.is_available(),
        )
        super().__init__(
            model=method,
            args=arguments,
            train_dataset=list(rows),
            eval_dataset=[],  # only its presence is asked for
            data_collator=collate,
            callbacks=list(callbacks),
        )
        for default in (ProgressCallback, PrinterCallback):
            self.remove_callback(default)
        if config.patience is not None:
            self.add_callback(EarlyStoppingCallback(config.patience))

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """The method's loss at the current optimizer step; its parts are kept for the next log.

        Raises:
            ModelError: If the loss is not finite; the message names the rows.
        """
        output: StepOutput = model(**inputs, step=self.state.global_step)
        if not torch.isfinite(output.loss):
            raise ModelError(
                f"The loss became {output.loss.item()} at step {self.state.global_step}, "
                f"on training rows {inputs['row_ids'].tolist()}.",
                remedy="Lower train.learning_rate or train.clip; nothing of this step was saved.",
            )
        self._window.append(output.detached())
        self._window_rows += int(inputs["row_ids"].shape[0])
        return output.loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the parts of the loss since the last log."""
        if "loss" in logs and self._window:
            seconds = time.monotonic() - self._window_start
            logs = {**logs, **_parts(self._window), "rows_per_second": self._window_rows / max(seconds, 1e-9)}
            self._window, self._window_rows, self._window_start = [], 0, time.monotonic()
        super().log(logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Scores dev; the Trainer selects by what this returns."""
        started = time.monotonic()
        result = self._evaluate_dev()
        self._window_start += time.monotonic() - started  # evaluation is not training time
        self.dev_results[self.state.global_step] = result
        # An undefined metric (the correlation of a constant) must lose against any number.
        worst = -math.inf if METRICS[self._metric].greater_is_better else math.inf
        metrics = {f"eval_{self._metric}": worst if math.isnan(result.value) else result.value}
        self.log({**metrics, "dev_record": result.record(self.state.global_step)})  # type: ignore[dict-item]
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Saves what learns, as safetensors, and nothing else."""
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        save_file(trained_tensors(self.model), folder / TRAINED)  # type: ignore[arg-type]

    def _load_best_model(self) -> None:
        checkpoint = self.state.best_model_checkpoint
        if checkpoint is not None:
            load_trained(self.model, load_file(Path(checkpoint) / TRAINED))  # type: ignore[arg-type]


def trained_tensors(method: nn.Module) -> dict[str, Tensor]:
    """Every parameter that learns, by name, on the CPU."""
    return {
        name: parameter.detach().cpu().contiguous()
        for name, parameter in method.named_parameters()
        if parameter.requires_grad
    }


def load_trained(method: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `trained_tensors` took.

    Raises:
        ModelError: If a name is missing, unknown, or of another shape.
    """
    parameters = {name: parameter for name, parameter in method.named_parameters() if parameter.requires_grad}
    if parameters.keys() != tensors.keys():
        odd = sorted(parameters.keys() ^ tensors.keys())
        raise ModelError(f"A checkpoint does not fit the model: {len(odd)} parameters differ, e.g. {odd[:3]}.")
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)


def director_tensors(method: nn.Module) -> dict[str, Tensor]:
    """What learns outside the writer: the director's or head's parameters."""
    return {name: tensor for name, tensor in trained_tensors(method).items() if not name.startswith("writer.")}


def save_director(method: nn.Module, folder: Path) -> None:
    """Writes the director or head to the run folder, if there is one."""
    tensors = director_tensors(method)
    if tensors:
        save_file(tensors, folder / DIRECTOR)


def _parts(window: Sequence[StepOutput]) -> dict[str, float]:
    """Means over the rows seen since the last log; L_D apart for gold and own histories."""
    parts: dict[str, float] = {}
    writer = [output.writer_loss for output in window if output.writer_loss is not None]
    if writer:
        parts["writer_loss"] = torch.cat(writer).mean().item()
    director = [output.director_loss for output in window if output.director_loss is not None]
    if director:
        losses = torch.cat(director)
        histories = [output.own_history for output in window if output.own_history is not None]
        # A head that reads the prompt has no history; its loss stands where a gold history's would.
        own = torch.cat(histories) if histories else torch.zeros_like(losses, dtype=torch.bool)
        for name, chosen in (("director_loss_gold", ~own), ("director_loss_own", own)):
            if chosen.any():
                parts[name] = losses[chosen].mean().item()
    probabilities = [output.sampling_probability for output in window if output.sampling_probability is not None]
    if probabilities:
        parts["sampling_probability"] = sum(probabilities) / len(probabilities)
    return parts
