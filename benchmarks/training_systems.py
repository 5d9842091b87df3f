"""The systems of `training.py` by name, each as a step on the same batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from predgen.answers.spaces import LabelSet
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.config import (
    DirectorConfig,
    Precision,
    RunConfig,
    SamplingConfig,
    SamplingMode,
    TrainConfig,
    WriterConfig,
)
from predgen.model.build import build_fields_method, build_method, build_writer
from predgen.model.outputs import StepOutput
from predgen.model.scale import Scale, scale_of
from predgen.model.setting import Setting
from predgen.model.writer import Writer
from training_models import load_classifier, load_model, smollm2
from training_peers import (
    released,
    sequence_classification,
    supervised_fine_tuning,
    supervised_fine_tuning_as_shipped,
)
from training_task import CUE, SPACES, Batch, Case, Step, build_batch, learned

REFERENCE = "predgen teacher forcing"
SHIPPED = "trl sft as shipped"
# Mode and p of scheduled sampling; with p = 0 the mode does not matter.
PREDGEN: dict[str, tuple[SamplingMode, float]] = {
    REFERENCE: ("token", 0.0),
    "predgen token p=0.5": ("token", 0.5),
    "predgen token p=1": ("token", 1.0),
    "predgen sequence p=1": ("sequence", 1.0),
    "predgen parallel p=1": ("parallel", 1.0),
}
ASKED = "predgen token p=1, asked for every token"
SYSTEMS = ("hf sequence classification", "trl sft", SHIPPED, "released p=1", *PREDGEN, ASKED, "predgen predictor")


@dataclass(frozen=True)
class Group:
    """What is measured side by side: all systems on one batch, in one precision.

    Args:
        case: The batch.
        precision: Of the weights that do not learn.
        checkpointing: Whether activations are computed anew in the backward pass.
        model: Its name in `training_models.py`.
        device: "cpu" or "cuda".
    """

    case: Case
    precision: Precision
    checkpointing: bool
    model: str
    device: str

    def __str__(self) -> str:
        return f"{self.case}, {self.precision}{', checkpointing' if self.checkpointing else ''}"

    def systems(self, asked: Sequence[str]) -> list[str]:
        """Of those asked for, what the group has.

        What is as shipped has checkpointing in any case, told once; of numbers every token is asked for anyway.
        """
        left = {SHIPPED} if self.checkpointing else set()
        if not isinstance(SPACES.get(self.case.answer), LabelSet):  # `build_batch` refuses what is not there
            left.add(ASKED)
        return [name for name in asked if name not in left]


class Systems:
    """Makes the steps of a group; what is not asked for is not made.

    Args:
        group: What is measured.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.tokenizer = smollm2()[1]
        self.batch: Batch = build_batch(group.case, self.tokenizer, group.device)

    def step(self, name: str) -> Step:
        """One of `SYSTEMS`."""
        group, batch, tokenizer = self.group, self.batch, self.tokenizer
        options = (batch, tokenizer, group.checkpointing, group.device)
        torch.manual_seed(0)
        if name in PREDGEN:
            return _step(self.method(*PREDGEN[name]), batch)
        if name == ASKED:
            table = _AskedTable(build_trie(batch.space, tokenizer, CUE)).to(group.device)
            return _step(self.method("token", 1.0, table), batch)
        makes: dict[str, Callable[[], Step]] = {
            "predgen predictor": lambda: _step(
                build_method(self._writer, batch.table, self._setting("predictor")), batch
            ),
            "hf sequence classification": lambda: sequence_classification(
                load_classifier(group.model, group.precision, group.device, self._outputs), *options
            ),
            "trl sft": lambda: supervised_fine_tuning(load_model(group.model, group.precision, group.device), *options),
            SHIPPED: lambda: supervised_fine_tuning_as_shipped(
                load_model(group.model, "fp32", group.device), batch, tokenizer, group.device
            ),
            "released p=1": lambda: released(
                load_model(group.model, group.precision, group.device), batch, group.checkpointing
            ),
        }
        return makes[name]()

    def method(self, mode: SamplingMode, probability: float, table: AnswerTable | None = None) -> Any:
        """PredGen under a constant p, with the director that the paper has for the task."""
        sampling = SamplingConfig(mode=mode, schedule="constant", start=probability, end=probability, steps=1)
        setting = self._setting("predgen", sampling)
        return build_fields_method(self._writer, [table or self.batch.table], [[]], [setting])

    @cached_property
    def _writer(self) -> Writer:
        # One model serves all of predgen; others get their own, since both it and trainers change how a model runs.
        lm = load_model(self.group.model, self.group.precision, self.group.device)
        return build_writer(lm, self._config("predgen", SamplingConfig()), "tree")

    @property
    def _labels(self) -> bool:
        return isinstance(self.batch.space, LabelSet)

    @property
    def _outputs(self) -> int:
        return self.batch.table.answers if self._labels else 1

    def _config(self, method: str, sampling: SamplingConfig) -> RunConfig:
        train = TrainConfig(precision=self.group.precision, gradient_checkpointing=self.group.checkpointing)
        director = DirectorConfig(kind="class" if self._labels else "value")
        # Over the vocabulary, as TRL and the released step have it: among the allowed tokens is another, cheaper loss.
        writer = WriterConfig(normalise="vocabulary")
        return RunConfig(method=method, writer=writer, sampling=sampling, director=director, train=train)

    def _setting(self, method: str, sampling: SamplingConfig | None = None) -> Setting:
        space, targets = self.batch.space, self.batch.inputs["target"].tolist()
        scale = Scale() if isinstance(space, LabelSet) else scale_of(space, targets)
        task = "classification" if self._labels else "regression"
        return Setting(self._config(method, sampling or SamplingConfig()), task, space, 1, scale)


class _AskedTable(AnswerTable):
    """Has the model asked for every token, as if none of them were settled by those before it."""

    def parts(self, node: Tensor) -> Tensor:
        return torch.ones_like(node, dtype=torch.bool)


def _step(method: Any, batch: Batch) -> Step:
    method.to(batch.prompts.device)

    def backward() -> Tensor:
        method.train()
        output: StepOutput = method(**batch.inputs, step=1)
        output.loss.backward()
        return output.loss.detach()

    return Step(backward, learned(method))
