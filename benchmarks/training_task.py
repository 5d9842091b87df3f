"""What every system does in `training.py`: one step on the same batch of prompts and answers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.data.batches import TrainingRow, collate


@dataclass(frozen=True)
class Case:
    """A batch of so many rows, prompt tokens, and answer tokens, the terminator not counted."""

    rows: int
    prompt: int
    answer: int

    def __str__(self) -> str:
        return f"batch {self.rows}, prompt {self.prompt}, answer {self.answer}"

    @staticmethod
    def named(text: str) -> Case:
        """From "8,64,4"."""
        return Case(*map(int, text.split(",")))


def codes(count: int, digits: int) -> LabelSet:
    """Labels of a sign and digits, such that at every position some of them part."""
    drawn = random.Random(0)
    first = [drawn.choice("0123456789") for _ in range(digits)]
    labels = {"+" + "".join(first)}
    while len(labels) < count:
        shared = len(labels) % digits
        rest = [drawn.choice("0123456789") for _ in range(digits - shared)]
        labels.add(drawn.choice("+-") + "".join(first[:shared] + rest))
    return LabelSet(tuple(sorted(labels)))


CUE = "\nAnswer:"
# SmolLM2's tokenizer takes a token for a sign with the space before it, one for a point, and one for each digit.
SPACES: dict[int, LabelSet | NumberGrid] = {
    4: NumberGrid(-4, 4, 1),  # +2.7
    6: NumberGrid(-4, 4, 3),  # +2.713
    16: codes(64, 15),
}


@dataclass(frozen=True)
class Batch:
    """One batch, in each system's terms.

    Args:
        inputs: What a predgen method's forward takes.
        answers: (B, T + 1) the gold answers' tokens, the terminator's last.
        space: The answers.
        table: The answers under the tokenizer.
    """

    inputs: dict[str, Tensor]
    answers: Tensor
    space: LabelSet | NumberGrid
    table: AnswerTable

    @property
    def prompts(self) -> Tensor:
        """(B, P)."""
        return self.inputs["prompt_ids"]

    @property
    def texts(self) -> Tensor:
        """(B, P + T + 1) prompts, each with its gold answer behind it."""
        return torch.cat([self.prompts, self.answers], dim=1)


@dataclass(frozen=True)
class Step:
    """Forward and backward of one system, and no optimizer's step, which is the same for all.

    Args:
        backward: Forward and backward; returns the loss.
        parameters: What learns, whose gradients are cleared behind it.
    """

    backward: Callable[[], Tensor]
    parameters: list[nn.Parameter]

    def __call__(self) -> Tensor:
        """One step."""
        loss = self.backward()
        self.clear()
        return loss

    def clear(self) -> None:
        """Drops the gradients."""
        for parameter in self.parameters:
            parameter.grad = None


def learned(*modules: nn.Module | None) -> list[nn.Parameter]:
    """The parameters that learn."""
    return [
        parameter
        for module in modules
        if module is not None
        for parameter in module.parameters()
        if parameter.requires_grad
    ]


def build_batch(case: Case, tokenizer: Any, device: str) -> Batch:
    """Random prompts and answers.

    Raises:
        ValueError: If the tokenizer writes the answers in another number of tokens than the case has.
    """
    if case.answer not in SPACES:
        raise ValueError(f"There is no space of answers of {case.answer} tokens. Expected one of {list(SPACES)}.")
    space = SPACES[case.answer]
    table = AnswerTable(build_trie(space, tokenizer, CUE))
    lengths = set(table.target_mask.sum(dim=1).tolist())
    if lengths != {case.answer + 1}:
        raise ValueError(f"This tokenizer writes {space} in {lengths} tokens, terminator included, for {case.answer}.")
    generator = torch.Generator().manual_seed(0)
    answers = torch.randint(0, table.answers, (case.rows,), generator=generator).tolist()
    prompts = torch.randint(100, 40_000, (case.rows, case.prompt), generator=generator).tolist()
    numbers = range(table.answers) if isinstance(space, LabelSet) else space.values
    rows = [
        TrainingRow(prompt, answer, float(numbers[answer]), row)
        for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
    ]
    on_device = {name: tensor.to(device) for name, tensor in collate(rows).items()}
    gold = table.targets[torch.tensor(answers)].long()
    return Batch(on_device, gold.to(device), space, table.to(device))
