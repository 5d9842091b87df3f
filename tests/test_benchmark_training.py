"""That `benchmarks/training.py` compares steps of one and the same loss."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch


@pytest.mark.model
def test_teacher_forcing_there_has_the_loss_of_a_plain_language_model(
    benchmark_module: Callable[[str], ModuleType],
) -> None:
    systems, task = map(benchmark_module, ("training_systems", "training_task"))
    made = systems.Systems(systems.Group(task.Case(2, 12, 4), "fp32", False, "smollm2-135m", "cpu"))
    method, batch = made.method("token", 0.0), made.batch
    with torch.no_grad():
        ours = method(**batch.inputs, step=1).writer_loss.mean()
        labels = batch.texts.clone()
        labels[:, : batch.prompts.shape[1]] = -100
        theirs = method.writer.lm(input_ids=batch.texts, labels=labels).loss
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0.0)
