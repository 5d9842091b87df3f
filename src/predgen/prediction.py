"""Prompts → scores → typed predictions. Training-time evaluation and `predict` both come through `score_rows`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from predgen.answers.spaces import LabelSet, Numbers
from predgen.data.batches import pad_prompts
from predgen.data.prompts import EncodedRows
from predgen.decoding.decide import (
    ClassDecision,
    Floats,
    class_decisions,
    number_distribution,
)
from predgen.model.outputs import Method, Scores


@dataclasses.dataclass(frozen=True)
class LabelPrediction:
    """A predicted label.

    Args:
        row: Position in the input, from 0.
        prediction: The label.
        probabilities: Of every label; they sum to 1.
    """

    row: int
    prediction: str
    probabilities: dict[str, float]


@dataclasses.dataclass(frozen=True)
class NumberPrediction:
    """A predicted number.

    Args:
        row: Position in the input, from 0.
        prediction: The number, as the run decides.
        mean: Of the exact posterior; without one the prediction.
        median: Of the exact posterior; without one the prediction.
        interval: Around the prediction, wide enough that it held 90% of dev rows; wider where the posterior is.
        text: What was written where the space cannot be listed, its worked solution included; else None.
    """

    row: int
    prediction: float
    mean: float
    median: float
    interval: tuple[float, float]
    text: str | None = None


@dataclasses.dataclass(frozen=True)
class RowError:
    """A row that could not be predicted.

    Args:
        row: Position in the input, from 0.
        error: Why.
    """

    row: int
    error: str


Prediction = LabelPrediction | NumberPrediction | RowError


def to_json(prediction: Prediction) -> dict[str, Any]:
    """One JSON object a row, its keys the fields' names; what a kind of answer does not have is left out."""
    return {name: value for name, value in dataclasses.asdict(prediction).items() if value is not None}


def score_prompts(
    method: nn.Module,
    prompts: Sequence[Sequence[int]],
    batch_size: int,
    progress: Callable[[int], None] = lambda rows: None,
) -> Scores:
    """Scores prompts, and only prompts: there is no argument through which an answer could come in.

    Args:
        method: One of the three methods.
        prompts: N token lists.
        batch_size: Prompts a pass; they are sorted by length, so that little is padded.
        progress: Called with the number of rows done after each pass.

    Returns:
        Scores of all N rows, in the order given, on the CPU.
    """
    device = next(method.parameters()).device
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    training = method.training
    method.eval()
    parts = []
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = pad_prompts([prompts[row] for row in chosen])
        scores = cast(Method, method).score(batch.prompt_ids.to(device), batch.prompt_mask.to(device))
        parts.append(Scores(*(None if field is None else field.cpu() for field in scores)))
        progress(len(chosen))
    method.train(training)
    back = torch.tensor(order).argsort()
    return Scores(*(_joined(column, back) for column in zip(*parts, strict=True)))


def score_rows(
    method: nn.Module, encoded: EncodedRows, batch_size: int, progress: Callable[[int], None] = lambda rows: None
) -> Scores:
    """`score_prompts`, and then one score a row: where a row has several windows, their distributions' mean.

    Args:
        method: One of the three methods.
        encoded: N rows' prompts.
        batch_size: Prompts a pass.
        progress: Called with the number of prompts done after each pass.

    Returns:
        Scores of N rows. Of a row with windows, posterior and class probabilities are averaged, values too, and the
        greedy answer is the likeliest of the mean.
    """
    scores = score_prompts(method, encoded.prompts, batch_size, progress)
    if len(encoded.rows) == len(encoded.cut):
        return scores
    row = torch.tensor(encoded.rows)
    windows = torch.bincount(row)

    def mean(column: Tensor) -> Tensor:
        total = torch.zeros(len(windows), *column.shape[1:], dtype=torch.float64).index_add_(0, row, column.double())
        return total / windows.view(-1, *[1] * (column.dim() - 1))

    def mean_of_logs(column: Tensor | None) -> Tensor | None:
        return None if column is None else mean(column.double().exp()).clamp_min(1e-300).log()

    posterior = mean_of_logs(scores.log_posterior)
    first = torch.cat([torch.zeros(1, dtype=torch.long), windows.cumsum(0)[:-1]])
    greedy = scores.greedy
    if greedy is not None and posterior is not None:
        greedy = torch.where(windows == 1, greedy[first], posterior.argmax(dim=1))
    logits = None if scores.class_logits is None else mean_of_logs(scores.class_logits.double().log_softmax(dim=1))
    value = None if scores.value is None else mean(scores.value)
    # Free numbers cannot be averaged over windows, and are refused there.
    return Scores.nothing()._replace(
        log_posterior=posterior, log_mass=mean_of_logs(scores.log_mass), greedy=greedy, class_logits=logits, value=value
    )


def _joined(column: tuple[Tensor | None, ...], back: Tensor) -> Tensor | None:
    present = [part for part in column if part is not None]
    return torch.cat(present)[back] if present else None


def label_predictions(
    scores: Scores, space: LabelSet, reader_name: str | None, decision: str, rows: Sequence[int]
) -> list[LabelPrediction]:
    """Typed predictions under one decision.

    Args:
        scores: Of N rows.
        space: The labels.
        reader_name: What the method calls its director or head.
        decision: The decision's name.
        rows: N input positions.
    """
    decided: ClassDecision = class_decisions(scores, space, reader_name)[decision]
    return [
        LabelPrediction(
            row=row,
            prediction=space.labels[index],
            probabilities=dict(zip(space.labels, map(float, probabilities), strict=True)),
        )
        for row, index, probabilities in zip(rows, decided.chosen, decided.probabilities, strict=True)
    ]


def number_predictions(
    scores: Scores,
    space: Numbers,
    values: Floats,
    ends: tuple[Floats, Floats],
    rows: Sequence[int],
    spell: Callable[[Sequence[int]], str],
) -> list[NumberPrediction]:
    """Typed predictions under one decision.

    Args:
        scores: Of N rows.
        space: The numbers.
        values: (N,) what was decided.
        ends: (N,) and (N,), of the intervals around them.
        rows: N input positions.
        spell: Token ids → text.
    """
    posterior = number_distribution(scores, space)
    texts: list[str | None] = [None] * len(rows)
    if scores.written is not None:
        texts = [spell([token for token in ids if token >= 0]).strip() for ids in scores.written.tolist()]
    predictions = []
    for position, row in enumerate(rows):
        value, interval = float(values[position]), (float(ends[0][position]), float(ends[1][position]))
        mean = value if posterior is None else float(posterior.mean[position])
        median = value if posterior is None else float(posterior.median[position])
        predictions.append(NumberPrediction(row, value, mean, median, interval, texts[position]))
    return predictions
