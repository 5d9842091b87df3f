"""Once training is over: the answers' output weights, fitted to the states that the writer has now.

A few dozen steps move a writer's states further than what reads them, be it output weights that stand still or a head
that learns by the same small steps. What is linear in the states needs no steps: it has one best fit, which takes
seconds. The candidates are judged as checkpoints are, by the metric that selects, on the dev rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import cast

from torch import Tensor

from predgen.answers.spaces import Grid, Space
from predgen.answers.tables import AnswerTable
from predgen.data.batches import TrainingRow
from predgen.decoding.decode import as_decoded
from predgen.metrics import chosen_over
from predgen.model.director import RankedProbability
from predgen.model.method import WritingMethod
from predgen.model.outputs import Scores
from predgen.model.probe import RowLoss, fit_probes, read_states, scores_under
from predgen.model.scale import Scale
from predgen.processes import Processes
from predgen.scoring import over_windows
from predgen.training.bench import Bench
from predgen.training.dev_result import DevResult
from predgen.training.plan import Plan
from predgen.training.probe import Say, states_to_fit, write_probe

_PROMPTS_AT_ONCE = 256  # their states are kept until every candidate has read them


def refit_writer(
    method: WritingMethod,
    rows: Sequence[TrainingRow],
    plan: Plan,
    bench: Bench,
    scale: Scale,
    evaluate: Callable[[], DevResult],
    on_dev: DevResult,
    processes: Processes,
    say: Say,
) -> DevResult:
    """Fits the answers' output weights again, and keeps them where the dev rows have it better with them.

    Args:
        method: With the best checkpoint's weights; one for which `why_no_probe` has no reason.
        rows: The training rows.
        plan: The run; its folder's probe they become.
        bench: What the method was trained with.
        scale: Of the training targets.
        evaluate: Scores the dev rows as checkpoints are; in all processes at once.
        on_dev: What the dev rows have without.
        processes: That work together; the main one's fit is everyone's.
        say: Takes one line at a time.

    Returns:
        What the dev rows have with the weights that were kept.
    """
    projection, started = method.writer.projection, time.monotonic()
    assert projection is not None
    found = _best_on_dev(method, rows, plan, bench, scale) if processes.main else None
    weight = cast(Tensor, processes.gathered(found)[0])
    before, projection.probe = projection.probe, weight.to(projection.tokens.device)
    after = evaluate()
    kept = _wins(after, on_dev)
    if not kept:
        projection.probe = before
    elif processes.main:
        write_probe(method.writer, weight, plan.folder)
    say(
        f"The answers' output weights, fitted again to the trained writer's states: dev {on_dev.metric} "
        f"{on_dev.value:.4f} → {after.value:.4f}, {'kept' if kept else 'left as they were'} "
        f"({time.monotonic() - started:.0f} s). (writer.finish)"
    )
    return after if kept else on_dev


def _proper_loss(method: WritingMethod, space: Space, scale: Scale) -> RowLoss:
    """The writer's loss; of numbers the ranked probability score besides, which knows how far apart they lie.

    Whatever trained the writer: both are strictly proper, so that their sum asks for one distribution, the rows' own.
    The expected value's squared error asks for nothing but its mean.
    """
    if not isinstance(space, Grid):
        return lambda log_posterior, answer_index, target: method.answer_loss(log_posterior, answer_index)
    ranked = RankedProbability(space.values, scale).to(next(method.parameters()).device)

    def loss(log_posterior: Tensor, answer_index: Tensor, target: Tensor) -> Tensor:
        return method.answer_loss(log_posterior, answer_index) + ranked.score(log_posterior, answer_index, target)

    return loss


def _best_on_dev(method: WritingMethod, rows: Sequence[TrainingRow], plan: Plan, bench: Bench, scale: Scale) -> Tensor:
    """(C, d) of the probes on the training rows the one that the dev rows' posterior does best with."""
    assert isinstance(method.table, AnswerTable)
    dev, config, loss = bench.prompts["dev"], plan.config, _proper_loss(method, bench.spaces[0], scale)
    probes = fit_probes(method.writer, method.table, *states_to_fit(method, rows, config), loss)
    parts: list[list[Scores]] = [[] for _ in probes]
    for start in range(0, len(dev.prompts), _PROMPTS_AT_ONCE):
        prompts = dev.prompts[start : start + _PROMPTS_AT_ONCE]
        states = read_states(method.writer, method.table, prompts, config.train.eval_batch_size)
        for probe, part in zip(probes, parts, strict=True):
            scores = as_decoded(scores_under(method.writer, method.table, states, probe), method.table).scores
            part.append(scores.cpu())
    results = [plan.examiner.dev([over_windows(Scores.joined(part), dev)], (None,)) for part in parts]
    best = 0
    for place, result in enumerate(results):
        if _wins(result, results[best]):
            best = place
    return probes[best].cpu()


def _wins(one: DevResult, other: DevResult) -> bool:
    return chosen_over(one.metric, one.decisions[one.decision], other.decisions[other.decision])
