"""Directors: task adapters that read what the writer wrote (section 4, appendix D)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from predgen.config import DirectorError
from predgen.decoding.score import widen
from predgen.model.losses import masked_mean
from predgen.model.pooling import Head, mean_state
from predgen.model.scale import Scale


class Answer(NamedTuple):
    """The answer that really was in the history, as the writer read it."""

    states: Tensor  # (B, T, d); the writer's last hidden states of the answer tokens
    mask: Tensor  # (B, T) bool; the tokens that count: all real ones, or of a worked solution its number
    logits: Tensor  # (B, T, V); each predicts the token after its own
    prompt_states: Tensor | None = None  # (B, S, d); of the prompt's tokens, where the director reads them too
    prompt_mask: Tensor | None = None  # (B, S); 1 on real tokens


class Reading(NamedTuple):
    """What a director is given in training: the answer, and how gold scored there."""

    answer: Answer
    logits: Tensor  # (B, T + 1, V); column t predicts gold's token t
    targets: Tensor  # (B, T + 1) int64; gold's tokens
    target_mask: Tensor  # (B, T + 1) bool
    token_losses: Tensor  # (B, T + 1); the writer's cross-entropy of the gold tokens
    token_weights: Tensor  # (B, T + 1); place weights, 0 where there is no target
    log_posterior: Callable[[], Tensor]  # computes (B, A) over the whole space, with its gradient


class Director(Protocol):
    """A task adapter; all are `nn.Module`s besides."""

    def loss(self, reading: Reading, answer_index: Tensor, target: Tensor) -> Tensor:
        """L_D of each row, (B,), non-negative."""
        ...

    def class_logits(self, answer: Answer) -> Tensor | None:
        """(B, K) logits of the classes, or None where it reads numbers, or nothing of its own."""
        ...

    def value(self, answer: Answer) -> Tensor | None:
        """(B,) numbers in the target's units, or None where it reads classes, or nothing of its own."""
        ...


@runtime_checkable
class PosteriorDirector(Director, Protocol):
    """A director that scores the probabilities of all answers, and nothing of what was shown."""

    def score(self, log_posterior: Tensor, answer_index: Tensor, target: Tensor) -> Tensor:
        """L_D of each row, (B,), of (B, A) log-probabilities; `loss` is this of the reading's."""
        ...


class StateDirector(nn.Module):
    """A linear head on pooled states: W · h + b.

    The paper's director reads the answer alone. What a prompt says has to go through the few states of its answer then,
    and digits that were written wrong are read with it. One that reads the prompt too, by attention that starts where
    the answer begins, can read whatever a head by attention could, and what was written besides.

    Args:
        pool: (B, T, d), (B, T) → (B, d); an `AttentionPool` where the prompt is read too.
        hidden_size: d.
        outputs: How many numbers it gives.
        reads_prompt: Whether the prompt's states are pooled with the answer's.
    """

    def __init__(self, pool: nn.Module, hidden_size: int, outputs: int, reads_prompt: bool = False) -> None:
        super().__init__()
        self.pool, self.output = pool, Head(hidden_size, outputs)
        self.reads_prompt = reads_prompt

    def read(self, answer: Answer) -> Tensor:
        """(B, outputs)."""
        read: Tensor = self.output(self._pooled(answer))
        return read

    def _pooled(self, answer: Answer) -> Tensor:
        if not self.reads_prompt:
            pooled: Tensor = self.pool(answer.states, answer.mask)
            return pooled
        before, in_prompt = answer.prompt_states, answer.prompt_mask
        assert before is not None and in_prompt is not None  # PredGen has the writer keep them
        states = torch.cat([before, answer.states], dim=1)
        mask = torch.cat([in_prompt.bool(), answer.mask], dim=1)
        around: Tensor = self.pool(states, mask, in_prompt.sum(dim=1))
        return around


class ClassDirector(StateDirector):
    """softmax(W · h + b), h pooled from the answer's states; cross-entropy (D.1).

    Args:
        pool: (B, T, d), (B, T) → (B, d).
        hidden_size: d.
        classes: K.
        reads_prompt: As `StateDirector` has it.
    """

    def __init__(self, pool: nn.Module, hidden_size: int, classes: int, reads_prompt: bool = False) -> None:
        super().__init__(pool, hidden_size, classes, reads_prompt)

    def class_logits(self, answer: Answer) -> Tensor:
        """(B, K) logits."""
        return self.read(answer)

    def value(self, answer: Answer) -> None:
        """None: it reads classes."""
        return None

    def loss(self, reading: Reading, answer_index: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the gold class, (B,)."""
        return functional.cross_entropy(self.class_logits(reading.answer), answer_index, reduction="none")


class VocabularyDirector(nn.Module):
    """The released code's classifier: vocabulary logits → 10 → K, averaged over the answer's positions.

    Unlike the release it reads answer positions alone, not the prompt's, and the padding is left out of the average.

    Args:
        vocabulary: V.
        classes: K.
    """

    def __init__(self, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.narrow, self.output = nn.Linear(vocabulary, 10), nn.Linear(10, classes)

    def class_logits(self, answer: Answer) -> Tensor:
        """(B, K) logits."""
        return mean_state(self.output(self.narrow(widen(answer.logits))), answer.mask)

    def value(self, answer: Answer) -> None:
        """None: it reads classes."""
        return None

    def loss(self, reading: Reading, answer_index: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the gold class, (B,)."""
        return functional.cross_entropy(self.class_logits(reading.answer), answer_index, reduction="none")


def error_of(kind: DirectorError, difference: Tensor) -> Tensor:
    """Squared, absolute or Huber error (quadratic up to 1, scaled so that it equals the squared one there)."""
    if kind == "squared":
        return difference.square()
    if kind == "absolute":
        return difference.abs()
    return 2 * functional.huber_loss(difference, torch.zeros_like(difference), reduction="none", delta=1.0)


class ValueDirector(StateDirector):
    """A linear head on the pooled states of the answer; error of the standardised target (section 4).

    D.3 of the paper would keep squared error away from the writer's cross-entropy; measured, it does well beside it.

    Args:
        pool: (B, T, d), (B, T) → (B, d).
        hidden_size: d.
        scale: Of the training targets.
        error: Of the standardised number.
        reads_prompt: As `StateDirector` has it.
    """

    def __init__(
        self,
        pool: nn.Module,
        hidden_size: int,
        scale: Scale,
        error: DirectorError = "squared",
        reads_prompt: bool = False,
    ) -> None:
        super().__init__(pool, hidden_size, 1, reads_prompt)
        self.scale, self.error = scale, error

    def class_logits(self, answer: Answer) -> None:
        """None: it reads numbers."""
        return None

    def _standardised(self, answer: Answer) -> Tensor:
        return self.read(answer)[:, 0]

    def value(self, answer: Answer) -> Tensor:
        """(B,) numbers in the target's units."""
        return self.scale.restore(self._standardised(answer))

    def loss(self, reading: Reading, answer_index: Tensor, target: Tensor) -> Tensor:
        """The error in standard deviations of the target, (B,)."""
        return error_of(self.error, self._standardised(reading.answer) - self.scale.standardise(target))


class _WithoutReading(nn.Module):
    """A director without parameters: it shapes the writer in training, and the decision is the writer's."""

    def class_logits(self, answer: Answer) -> None:
        """None: it has no reading of its own."""
        return None

    def value(self, answer: Answer) -> None:
        """None: the number is the one the writer wrote."""
        return None


class OrderedPenalty(_WithoutReading):
    """Σ_i w_i · CE(y_i) / Σ_i w_i: the writer's own token losses, leading places weighing more (D.2).

    Ours is shifted (the logits that predict y_i) and weighs by place value; `ReleasedOrderedPenalty` is neither.
    """

    def loss(self, reading: Reading, answer_index: Tensor, target: Tensor) -> Tensor:
        """The weighted mean of the token losses, in nats, (B,)."""
        return masked_mean(reading.token_losses, reading.token_weights)


class ReleasedOrderedPenalty(_WithoutReading):
    """The ordered penalty as the authors' code computes it: the logits *at* y_i against y_i, weighed by token index.

    Under gold history that asks each position to repeat its own input. The weights, linspace(59, 2, 59) scaled to mean
    1 and cut to the answer's length, are almost flat. Rows are averaged over their own length, not the batch's.
    """

    POSITIONS = 59

    def loss(self, reading: Reading, answer_index: Tensor, target: Tensor) -> Tensor:
        """The weighted mean of the copying losses, in nats, (B,)."""
        logits, mask = widen(reading.answer.logits), reading.answer.mask & reading.target_mask[:, :-1]
        copying = functional.cross_entropy(logits.flatten(0, 1), reading.targets[:, :-1].flatten(), reduction="none")
        places = torch.linspace(self.POSITIONS, 2, self.POSITIONS, device=logits.device, dtype=logits.dtype)
        weights = (places / places.mean())[: logits.shape[1]]
        if weights.shape[0] < logits.shape[1]:  # longer answers: the last weight goes on
            weights = functional.pad(weights, (0, logits.shape[1] - weights.shape[0]), value=float(weights[-1]))
        return masked_mean(copying.view(mask.shape) * weights, mask)


class ExpectedValue(_WithoutReading):
    """P̂ = Σ_v v · p(v | x) over the whole grid, differentiable through the writer (RAFT, Lukasik et al. 2025).

    It needs no parameters, and its reading at inference is the posterior's mean. Like `ValueDirector` it mixes squared
    error with cross-entropy, which D.3 of the paper forbids.

    Args:
        values: The grid's numbers, in answer order.
        scale: Of the training targets.
        error: Of the standardised number.
    """

    values: Tensor  # (A,)

    def __init__(self, values: Sequence[float], scale: Scale, error: DirectorError = "squared") -> None:
        super().__init__()
        self.register_buffer("values", torch.tensor(values), persistent=False)
        self.scale, self.error = scale, error

    def loss(self, reading: Reading, answer_index: Tensor, target: Tensor) -> Tensor:
        """`score` of the reading's posterior, (B,)."""
        return self.score(reading.log_posterior(), answer_index, target)

    def score(self, log_posterior: Tensor, answer_index: Tensor, target: Tensor) -> Tensor:
        """The expected number's error in standard deviations of the (transformed) target, (B,)."""
        # No matrix product: under autocast that would be in half precision, too coarse for numbers.
        expected = (log_posterior.exp() * self.values).sum(dim=1)
        return error_of(self.error, self.scale.standardise(expected) - self.scale.standardise(target))


class RankedProbability(_WithoutReading):
    """The continuous ranked probability score of the posterior, ∫ (F(v) − 1[v ≥ y])² dv (Gneiting and Raftery 2007).

    Like `ExpectedValue` it knows how far apart numbers lie, which the writer's cross-entropy does not; unlike a squared
    error of the mean it is a proper score of the whole distribution, so that the two losses want the same posterior.

    Args:
        values: The grid's numbers, ascending.
        scale: Of the training targets.
    """

    gaps: Tensor  # (A - 1,); from each number to the next, in standard deviations of the (transformed) target

    def __init__(self, values: Sequence[float], scale: Scale) -> None:
        super().__init__()
        self.register_buffer("gaps", scale.standardise(torch.tensor(values)).diff(), persistent=False)

    def loss(self, reading: Reading, answer_index: Tensor, target: Tensor) -> Tensor:
        """`score` of the reading's posterior, (B,)."""
        return self.score(reading.log_posterior(), answer_index, target)

    def score(self, log_posterior: Tensor, answer_index: Tensor, target: Tensor) -> Tensor:
        """The score of the gold number on the grid, in standard deviations of the target, (B,)."""
        below = log_posterior.exp().cumsum(dim=1)[:, :-1]
        reached = torch.arange(below.shape[1], device=below.device) >= answer_index[:, None]
        return ((below - reached.to(below.dtype)).square() * self.gaps).sum(dim=1)


class NumberTokenLoss(_WithoutReading):
    """Σ_j p(j) · |v_j − v_gold| over tokens j that spell a numeral v_j (Zausinger et al. 2025, Wasserstein form).

    p is renormalised over the numeral tokens of the answer space, and rows are averaged over the positions at which
    gold writes a numeral. Digits of all places count alike, as published.

    Args:
        numerals: Token id → the numeral it spells, of the space's tokens.
    """

    ids: Tensor  # (J,) int64
    values: Tensor  # (J,) float

    def __init__(self, numerals: dict[int, int]) -> None:
        super().__init__()
        self.register_buffer("ids", torch.tensor(list(numerals), dtype=torch.long), persistent=False)
        self.register_buffer("values", torch.tensor([float(value) for value in numerals.values()]), persistent=False)

    def loss(self, reading: Reading, answer_index: Tensor, target: Tensor) -> Tensor:
        """The mean distance in numerals' units, (B,)."""
        probabilities = widen(reading.logits[:, :, self.ids]).softmax(dim=2)
        spelled = reading.targets[:, :, None] == self.ids  # (B, T + 1, J)
        gold = (spelled * self.values).sum(dim=2)
        distances = (self.values - gold[:, :, None]).abs()
        return masked_mean((probabilities * distances).sum(dim=2), spelled.any(dim=2) & reading.target_mask)
