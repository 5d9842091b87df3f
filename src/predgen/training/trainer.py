"""A thin `transformers.Trainer`: the sampling step goes in, the parts of the loss come out, dev is scored as served."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_callback import ExportableState, PrinterCallback, ProgressCallback

from predgen.config import TrainConfig
from predgen.data.batches import TrainingRow
from predgen.errors import ModelError
from predgen.learning import preferred
from predgen.metrics import METRICS
from predgen.model.outputs import StepOutput
from predgen.peft_methods.method import PeftMethod
from predgen.sharded import divided_like, is_sharded, open_entrances
from predgen.training.arguments import trainer_arguments
from predgen.training.checkpoints import (
    Checkpoint,
    damage_of,
    folder_of,
    has_tensors,
    keep_only,
    optimizer_parts,
    optimizer_state,
    random_state,
    read_tensors,
    read_values,
    restore_random_state,
    write_checkpoint,
)
from predgen.training.dev_result import DevResult
from predgen.training.guards import FiniteGuard
from predgen.training.loss_parts import loss_parts
from predgen.training.passes import SHARE, Division, StepLoader
from predgen.training.redone import RedoneStep
from predgen.training.weights import load_trained, trained_tensors

# The files of a checkpoint.
_TRAINED, _OPTIMIZER, _RANDOM, _PEFT = "trained", "optimizer", "random", "peft"
_OPTIMIZER_REST, _RANDOM_REST, _SCHEDULE, _SCALER = "optimizer_rest", "random_rest", "schedule", "scaler"
_STATE = "trainer_state"  # the Trainer looks for it under this name


class PredGenTrainer(Trainer):
    """Trains any of the three methods.

    Args:
        method: The module to train; its forward takes a `TrainingBatch`'s fields and the optimizer step.
        peft: How the writer was adapted.
        rows: Training rows.
        numbers: Of each its position in the source.
        evaluate_dev: Scores dev through `score_answers`, from the prompts alone.
        config: Optimisation settings.
        total_steps: Optimizer steps of the whole run.
        folder: The run folder; checkpoints are kept in it while training.
        metric: The metric that selects the checkpoint.
        callbacks: Progress, logs and what may end the run.
        division: How the rows of a step are divided into passes, and among processes.
        say: Takes one line at a time.
    """

    def __init__(
        self,
        method: nn.Module,
        peft: PeftMethod,
        rows: Sequence[TrainingRow],
        numbers: Sequence[int],
        evaluate_dev: Callable[[], DevResult],
        config: TrainConfig,
        total_steps: int,
        folder: Path,
        metric: str,
        callbacks: Sequence[TrainerCallback],
        division: Division,
        say: Callable[[str], None],
    ) -> None:
        self._evaluate_dev, self._metric, self._peft = evaluate_dev, metric, peft
        self._patience, self._config, self._division = config.patience, config, division
        self._processes = division.processes
        self._window: list[StepOutput] = []
        self._window_rows, self._window_start = 0, time.monotonic()
        self.dev_results: dict[int, DevResult] = {}
        self.guard = FiniteGuard(config, numbers, self._processes)
        self._step, self._say = RedoneStep(division, say), say
        super().__init__(
            model=method,
            args=trainer_arguments(config, total_steps, folder, metric, mixed=peft.whole, division=division),
            train_dataset=list(rows),
            eval_dataset=[],  # only its presence is asked for
            # After the optimizer's step and before the gradients are cleared, which some PEFT methods need.
            callbacks=[*callbacks, self.guard, _AfterStep(peft)],
        )
        for default in (ProgressCallback, PrinterCallback):
            self.remove_callback(default)
        if config.patience is not None:
            self.add_callback(EarlyStoppingCallback(config.patience))

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        prepared = super()._prepare_for_training(*args, **kwargs)  # type: ignore[no-untyped-call]
        if is_sharded(self.model):  # type: ignore[arg-type]
            open_entrances(self.model)  # type: ignore[arg-type]
        return prepared

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW, or what the PEFT method has in its place."""
        if self._peft.optimizer is None:
            return super().create_optimizer(model)
        if self.optimizer is None:
            self.optimizer = self._peft.optimizer(self.accelerator.unwrap_model(self.model), self._config)
        return self.optimizer

    def get_train_dataloader(self) -> StepLoader:
        """The training rows, divided into passes and among processes."""
        return StepLoader(cast(Sequence[TrainingRow], self.train_dataset), self._config.seed, self._division)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """A pass; where memory runs out, the step's passes so far are taken again, in smaller ones.

        Raises:
            ModelError: If it runs out over a single row, or where several processes work together.
        """

        def take(part: dict[str, Any]) -> Tensor:
            loss: Tensor = super(PredGenTrainer, self).training_step(model, part)
            return loss

        def forget() -> None:
            model.zero_grad()
            self.guard.forget()
            del self._window[self._step.window :]
            self._window_rows = self._step.window_rows

        self._step.begin(self.state.global_step, len(self._window), self._window_rows)
        return self._step.take(inputs, take, forget)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """What a pass adds to the step's loss, which is the mean over all of its rows; its parts go to the next log.

        Raises:
            ModelError: If the loss is not finite and `train.on_nonfinite` is "stop"; the message names the rows.
        """
        batch = dict(inputs)
        # The Trainer takes the mean over passes, and gradients are averaged over processes: neither has its own share.
        share: float = sum(batch.pop(SHARE)) * self.current_gradient_accumulation_steps * self._processes.count
        output: StepOutput = model(**batch, step=self.state.global_step)
        if not share:
            return self._nothing(output.loss)
        if self.guard.refuses(output.loss, self.state.global_step, batch["row_ids"].tolist()):
            return self._nothing(output.loss)
        self._window.append(output.detached())
        self._window_rows += int(batch["row_ids"].shape[0])
        penalty = self._peft.penalty(self._writer_lm)
        return share * (output.loss if penalty is None else output.loss + penalty)

    def _nothing(self, loss: Tensor) -> Tensor:
        """Nothing to learn of a loss, and yet every parameter in the graph: other processes wait for its gradient.

        Where weights are in parts they also wait for each layer's backward pass: there a loss that is no number makes
        the gradient none in all of them, and the guard leaves the whole step out.
        """
        if torch.isfinite(loss) or is_sharded(self.model):  # type: ignore[arg-type]
            return 0 * loss
        parts = [(p * 0).sum() for p in self.model.parameters() if p.requires_grad]  # type: ignore[union-attr]
        return torch.stack(parts).sum()

    @property
    def _writer_lm(self) -> Any:
        return self.accelerator.unwrap_model(self.model).writer.lm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the parts of the loss since the last log, those of other processes too."""
        if "loss" in logs:
            # Copied to the processor for the others alone.
            seen = self._window if self._processes.count == 1 else [output.cpu() for output in self._window]
            window = [output for outputs in self._processes.gathered(seen) for output in outputs]
            rows = sum(self._processes.gathered(self._window_rows))
            seconds = time.monotonic() - self._window_start
            if window:
                logs = {**logs, **loss_parts(window), "rows_per_second": rows / max(seconds, 1e-9)}
                self._window, self._window_rows, self._window_start = [], 0, time.monotonic()
        super().log(logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Scores dev; the Trainer selects by what this returns."""
        started = time.monotonic()
        result = self._evaluate_dev()
        self._window_start += time.monotonic() - started  # evaluation is not training time
        step = self.state.global_step
        if any(scores.any_nan() for scores in result.scores):
            raise ModelError(
                f"The model's scores of dev rows are no numbers at step {step}; its weights are not saved.",
                remedy="Lower train.learning_rate or train.clip.",
            )
        # Of many dev rows and many answers they are large, and only the best will be asked for.
        best = self.state.best_global_step
        self.dev_results = {at: found for at, found in self.dev_results.items() if at == best} | {step: result}
        # An undefined metric (the correlation of a constant) must lose against any number.
        worst = -math.inf if METRICS[self._metric].greater_is_better else math.inf
        metrics = {f"eval_{self._metric}": worst if math.isnan(result.value) else result.value}
        self.log({**metrics, **result.flat(), "dev_record": result.record(step)})  # type: ignore[dict-item]
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        if super()._determine_best_metric(metrics, trial):
            return True
        # Of checkpoints that the metric cannot tell apart the Trainer would keep the first.
        records: list[Any] = [logs["dev_record"] for logs in self.state.log_history if "dev_record" in logs]
        chosen = next((record for record in reversed(records) if record["step"] == self.best()), None)
        if chosen is None or not preferred(records[-1], chosen):
            return False
        self.state.best_global_step = self.state.global_step
        return True

    def go_on(self, checkpoint: Path | None) -> None:
        """Trains from a checkpoint, or from the start; at the end the method has the best checkpoint's weights.

        Args:
            checkpoint: Its folder, as `find_checkpoint` gives it.
        """
        if checkpoint is None:
            self.train()
            return
        state = TrainerState.load_from_json(str(checkpoint / f"{_STATE}.json"))
        patience: Any = state.stateful_callbacks.get("EarlyStoppingCallback", {})
        waited = patience.get("attributes", {}).get("early_stopping_patience_counter", 0)
        if state.global_step < self.args.max_steps and (self._patience is None or waited < self._patience):
            self.train(resume_from_checkpoint=str(checkpoint))
            return
        # Training was over, and only what comes after it was not: the Trainer would take another epoch.
        self.state = state
        self._forget_damaged_best()
        self._load_best_model()

    def best(self) -> int:
        """The step of the best checkpoint, whose weights the method has once training is over."""
        return int(self.state.best_global_step or self.state.global_step)

    # Checkpoints: the Trainer's own hold pickles and are there in half while they are written.

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        root, step = Path(str(self.args.output_dir)), self.state.global_step
        trained = trained_tensors(self.model)  # type: ignore[arg-type]
        odd = [name for name, tensor in trained.items() if not torch.isfinite(tensor).all()]
        if odd:
            raise ModelError(
                f"{len(odd)} parameters became infinite or no numbers by step {step}, e.g. {odd[0]}; none are saved.",
                remedy="Lower train.learning_rate or train.clip.",
            )
        best = folder_of(root, self.best())
        # None is removed before all processes have come here: the last one's end is where they wait for each other.
        if best.is_dir() or self.best() == step:
            self.state.best_model_checkpoint = str(best)
        for callback in [*self.callback_handler.callbacks, self.control]:
            if isinstance(callback, ExportableState):
                known: Any = self.state.stateful_callbacks
                known[type(callback).__name__] = callback.state()
        optimizer, optimizer_rest = optimizer_parts(self.optimizer.state_dict())  # type: ignore[union-attr]
        chances = self._processes.gathered(random_state())
        scaler = getattr(self.accelerator, "scaler", None)
        if self._processes.main:
            write_checkpoint(
                folder_of(root, step),
                Checkpoint(
                    tensors={
                        _TRAINED: trained,
                        _OPTIMIZER: optimizer,
                        **{_of_rank(_RANDOM, rank): tensors for rank, (tensors, _) in enumerate(chances)},
                        _PEFT: self._peft.state(self._writer_lm),
                    },
                    values={
                        _OPTIMIZER_REST: optimizer_rest,
                        _SCHEDULE: self.lr_scheduler.state_dict(),  # type: ignore[union-attr]
                        **{_of_rank(_RANDOM_REST, rank): rest for rank, (_, rest) in enumerate(chances)},
                        _SCALER: None if scaler is None else scaler.state_dict(),
                        _STATE: asdict(self.state),
                    },
                ),
            )
            keep_only(root, {best, folder_of(root, step)})
        self._processes.wait()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self._load_weights(Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        self._load_weights(folder_of(Path(str(self.args.output_dir)), self.best()))

    def _load_weights(self, folder: Path) -> None:
        load_trained(self.model, read_tensors(folder, _TRAINED))  # type: ignore[arg-type]
        self._peft.restore(self._writer_lm, read_tensors(folder, _PEFT))

    def _init_training_state(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        done: tuple[int, int] = super()._init_training_state(*args, **kwargs)
        self._forget_damaged_best()
        best = folder_of(Path(str(self.args.output_dir)), self.best())
        # Where the folder was when the state was saved does not matter: it may have been moved since.
        self.state.best_model_checkpoint = str(best) if best.is_dir() else None
        return done

    def _forget_damaged_best(self) -> None:
        """The checkpoint that training goes on from is sound; the best one may be another."""
        step = self.state.best_global_step
        if step and (reason := damage_of(folder_of(Path(str(self.args.output_dir)), step))):
            self._say(f"The best checkpoint, of step {step}, is damaged ({reason}); what is best is chosen anew.")
            self.state.best_global_step = self.state.best_metric = None

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        folder, optimizer = Path(checkpoint), cast(Any, self.optimizer)
        tensors, rest = read_tensors(folder, _OPTIMIZER), read_values(folder, _OPTIMIZER_REST)
        device = next(self.model.parameters()).device  # type: ignore[union-attr]
        # An optimizer that names its parameters does not know where they are.
        tensors = {name: tensor.to(device) if tensor.dim() else tensor for name, tensor in tensors.items()}
        # One that numbers them has them in this order; where they are divided, so is what belongs to them.
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for name, tensor in tensors.items():
            number = name.rpartition(".")[0]
            if number.isdigit():
                tensors[name] = divided_like(tensor, held[int(number)])
        optimizer.load_state_dict(optimizer_state(tensors, rest))
        self.lr_scheduler.load_state_dict(read_values(folder, _SCHEDULE))  # type: ignore[union-attr]

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            folder, rank = Path(checkpoint), self._processes.rank
            # Those of a process that was not there have never been: any will do, and this is its first ones'.
            kept = rank if has_tensors(folder, _of_rank(_RANDOM, rank)) else 0
            restore_random_state(
                read_tensors(folder, _of_rank(_RANDOM, kept)), read_values(folder, _of_rank(_RANDOM_REST, kept))
            )

    def _load_scaler(self, checkpoint: str | None) -> None:
        scaler = getattr(self.accelerator, "scaler", None)
        if checkpoint is not None and scaler is not None:
            scaler.load_state_dict(read_values(Path(checkpoint), _SCALER))


class _AfterStep(TrainerCallback):
    """Lets the PEFT method work between the optimizer's step and the clearing of gradients."""

    def __init__(self, peft: PeftMethod) -> None:
        self._peft = peft

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Unless the step was left out, in which case there are no gradients."""
        method = kwargs["model"]
        if any(parameter.grad is not None for parameter in method.parameters()):
            self._peft.after_step(method.writer.lm, state.global_step + 1)


def _of_rank(name: str, rank: int) -> str:
    """A file of a checkpoint that each process has one of."""
    return name if rank == 0 else f"{name}-{rank}"
