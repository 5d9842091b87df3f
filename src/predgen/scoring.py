"""Prompts → scores. Training-time evaluation and `predict` both come through `score_answers`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from predgen.data.batches import pad_prompts
from predgen.data.prompts import EncodedRows
from predgen.decoding.continuations import OptionBatch, pad_options
from predgen.decoding.support import Support
from predgen.errors import PredgenWarning
from predgen.memory import free_memory, out_of_memory
from predgen.model.method import Method
from predgen.model.outputs import Scores
from predgen.model.shared_head import head_length
from predgen.processes import ALONE, Processes
from predgen.sharded import is_sharded

BATCH_TOKENS = 16_384


def _fitting(lengths: Sequence[int], batch_tokens: int) -> int:
    """How many prompts of ascending lengths, at least one, fit into a pass when all are as long as the last."""
    count = 1
    while count < len(lengths) and (count + 1) * lengths[count] <= batch_tokens:
        count += 1
    return count


def score_answers(
    method: nn.Module,
    prompts: Sequence[Sequence[int]],
    batch_size: int,
    progress: Callable[[int], None] = lambda rows: None,
    batch_tokens: int = BATCH_TOKENS,
    options: Sequence[Sequence[Sequence[int]]] | None = None,
    processes: Processes = ALONE,
) -> list[Scores]:
    """Scores prompts, and only prompts: there is no argument through which the right answer could come in.

    Args:
        method: One of the three methods.
        prompts: N token lists, N ≥ 1.
        batch_size: Most prompts a pass; they are sorted by length, so that little is padded.
        progress: Called with the number of prompts done after each pass.
        batch_tokens: Most tokens a pass, padding counted; a longer prompt goes alone. Where memory runs out even so,
            passes are halved until it does not, with a warning.
        options: Of each prompt the tokens of its own options, where rows have such; only a method made for them takes
            them.
        processes: Those that share the prompts; all must call with the same ones, and all get every score.

    Returns:
        Scores of all N rows, in the order given, on the CPU; one for each answer that is given to a prompt. What all
        prompts begin with is read once.
    """
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    mine = processes.mine(order)
    training = method.training
    method.eval()
    parts = _scored_in_passes(method, prompts, mine, batch_size, progress, batch_tokens, options)
    method.train(training)
    gathered = processes.gathered((parts, list(mine)))
    progress(len(order) - len(mine))
    return in_order(gathered)


def in_order(parts: Sequence[tuple[Sequence[Sequence[Scores]], Sequence[int]]]) -> list[Scores]:
    """Puts what several processes have scored back into the rows' order.

    Args:
        parts: Of each process the scores of each of its passes, one for each answer, and the rows in their order.

    Returns:
        Scores of all rows, one for each answer.
    """
    back = torch.tensor([row for _, rows in parts for row in rows]).argsort()
    passes = [each for scores, _ in parts for each in scores]
    return [
        Scores(*(_joined(column, back) for column in zip(*batches, strict=True)))
        for batches in zip(*passes, strict=True)
    ]


def _scored_in_passes(
    method: nn.Module,
    prompts: Sequence[Sequence[int]],
    order: Sequence[int],
    batch_size: int,
    progress: Callable[[int], None],
    batch_tokens: int,
    options: Sequence[Sequence[Sequence[int]]] | None,
) -> list[list[Scores]]:
    """Of each pass over the prompts of this order, shortest first, the scores of its answers; see `score_answers`."""
    device = next(method.parameters()).device
    # A head would be read outside of the method's own passes, where weights in parts are not whole.
    shared = 0 if is_sharded(method) else head_length(prompts)
    with torch.no_grad():
        head = cast(Method[Any], method).share(torch.tensor(prompts[0][:shared]).to(device)) if shared else None
    shared = shared if head is not None else 0
    parts = []
    start = 0
    while start < len(order):
        chosen = order[start : start + batch_size]
        chosen = chosen[: _fitting([len(prompts[row]) for row in chosen], batch_tokens)]
        batch = pad_prompts([prompts[row][shared:] for row in chosen])
        ids, mask = batch.prompt_ids.to(device), batch.prompt_mask.to(device)
        given: tuple[Any, ...] = (ids, mask) if head is None else (ids, mask, head)
        if options is not None:
            own = pad_options([options[row] for row in chosen], cast(Any, method).table.answers)
            given = (ids, mask, head, OptionBatch(own.ids.to(device), own.mask.to(device)))
        try:
            answers = cast(Method[Any], method).answers(*given)
        except (RuntimeError, MemoryError) as problem:
            # Where weights are in parts, one process may not make more passes than the others.
            if len(chosen) == 1 or not out_of_memory(problem) or is_sharded(method):
                raise
            batch_tokens = len(chosen) * len(prompts[chosen[-1]]) // 2
            answers = None
        if answers is None:
            free_memory()
            warnings.warn(
                f"Memory ran out over {len(chosen)} rows of {len(prompts[chosen[-1]])} tokens at once: half as many "
                "are scored at once from here on. (train.eval_batch_size, --batch-size)",
                PredgenWarning,
                stacklevel=3,
            )
            continue
        parts.append([scores.cpu() for scores in answers])
        progress(len(chosen))
        start += len(chosen)
    return parts


def score_prompts(
    method: nn.Module,
    prompts: Sequence[Sequence[int]],
    batch_size: int,
    progress: Callable[[int], None] = lambda rows: None,
    batch_tokens: int = BATCH_TOKENS,
) -> Scores:
    """`score_answers` of a method that gives one answer."""
    return score_answers(method, prompts, batch_size, progress, batch_tokens)[0]


def score_answer_rows(
    method: nn.Module,
    encoded: EncodedRows,
    batch_size: int,
    progress: Callable[[int], None] = lambda rows: None,
    batch_tokens: int = BATCH_TOKENS,
    processes: Processes = ALONE,
) -> list[Scores]:
    """`score_answers`, and then one score a row: where a row has several windows, their distributions' mean.

    Args:
        method: One of the three methods.
        encoded: N rows' prompts.
        batch_size: Most prompts a pass.
        progress: Called with the number of prompts done after each pass.
        batch_tokens: Most tokens a pass.
        processes: Those that share the prompts.

    Returns:
        Scores of N rows. Of a row with windows, posterior and class probabilities are averaged, values too, and the
        greedy answer is the likeliest of the mean. One for each answer that is given to a prompt.
    """
    answers = score_answers(method, encoded.prompts, batch_size, progress, batch_tokens, encoded.options, processes)
    return [over_windows(scores, encoded) for scores in answers]


def score_rows(
    method: nn.Module,
    encoded: EncodedRows,
    batch_size: int,
    progress: Callable[[int], None] = lambda rows: None,
    batch_tokens: int = BATCH_TOKENS,
    processes: Processes = ALONE,
) -> Scores:
    """`score_answer_rows` of a method that gives one answer."""
    return score_answer_rows(method, encoded, batch_size, progress, batch_tokens, processes)[0]


def over_windows(scores: Scores, encoded: EncodedRows) -> Scores:
    """Scores of prompts → of rows, as `score_answer_rows` has them; the same where every row is one prompt."""
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
    # Free numbers, and numbers that are searched for, cannot be averaged over windows, and are refused there.
    return Scores.nothing()._replace(
        log_posterior=posterior,
        log_mass=mean_of_logs(scores.log_mass),
        greedy=greedy,
        class_logits=logits,
        value=value,
        covered=None if scores.covered is None else mean(scores.covered),
    )


def _joined(column: tuple[Any, ...], back: Tensor) -> Any:
    present = [part for part in column if part is not None]
    if present and isinstance(present[0], Support):
        return Support.joined(present).chosen(back)
    return torch.cat(present)[back] if present else None
