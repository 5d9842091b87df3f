"""A start for the writer: output weights of the answers' tokens that are fitted to the base's own states.

Fine-tuning by an adapter begins with whatever the base would write, and a frozen output layer turns states into answers
only as fast as the layers below learn to move them. Of few rows most steps then go into the answers' form and spread. A
linear probe on the frozen states is a small smooth fit that takes seconds; starting from it, fine-tuning keeps more of
what the base knows (Kumar et al. 2022, linear probing before fine-tuning). Here the probe is no head of its own: it is
added to the output weights of the tokens that answers are written with, at every place of the trie, so that the
posterior it gives is still the writer's, and everything that reads the writer reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from predgen.answers.tables import AnswerTable
from predgen.decoding.score import TrieScores, read_tree, scores_of
from predgen.model.in_passes import in_passes
from predgen.model.writer import Writer

# How strongly large weights are held down, from most to least: λ of λ · ‖U‖², beside a mean loss of about 1.
STRENGTHS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
# After training, whose states lie so that small weights tell answers apart.
LAST_STRENGTHS = (0.03, 0.01, 0.003, 0.001, 0.0003)
_FOLDS = 4
_STEPS = 60  # of L-BFGS, which is near its end long before
_MOST_ROWS = 1000  # reading one costs a third of what training on it once does
_MOST_NUMBERS = 2**26  # of all states together; a quarter of a gigabyte


class Gold(NamedTuple):
    """What N rows should be answered with."""

    answer_index: Tensor  # (N,) int64
    target: Tensor  # (N,); numbers or class indices
    weight: Tensor  # (N,); what each row counts, 1 on average


RowLoss = Callable[[Tensor, Tensor, Tensor], Tensor]  # (n, A) log-posterior, (n,) answers, (n,) targets → (n,)


class Probe(NamedTuple):
    """What was fitted, and what it is worth on rows that it was not fitted on; losses are means over N rows."""

    weight: Tensor  # (C, d) float32, to be added to the tokens' output weights
    strength: float  # the regularisation that was chosen
    loss: float  # by cross-validation
    base_loss: float  # of the base as it is


def read_states(writer: Writer, table: AnswerTable, prompts: Sequence[Sequence[int]], batch_size: int) -> Tensor:
    """(N, 1 + M, d) float32 last states behind the prompts and at each inner node of the trie.

    Args:
        writer: The language model; its answers' tokens are projected by themselves.
        table: The space's trie, one that is read in one pass.
        prompts: N prompts' tokens.
        batch_size: Prompts of a pass.
    """

    def read(ids: Tensor, mask: Tensor) -> Tensor:
        return read_tree(writer, writer.prefill(ids, mask), table).float()

    with writer.giving_states():
        return in_passes(writer, prompts, batch_size, table.targets.device, read)


def fit_probe(writer: Writer, table: AnswerTable, states: Tensor, gold: Gold, loss: RowLoss, seed: int) -> Probe | None:
    """Fits the answers' tokens' output weights; how strongly they are held down is chosen by cross-validation.

    Args:
        writer: The language model that the states are of.
        table: The space's trie.
        states: (N, 1 + M, d), as `read_states` gives them.
        gold: N answers.
        loss: Of each row; where it is convex in the logits, as cross-entropy is, there is one best probe.
        seed: Of the folds.

    Returns:
        The probe; None where none does better than the base as it is on rows that it has not seen.
    """
    fit = _Fit(writer, table, states, gold, loss)
    rows = torch.randperm(len(states), generator=torch.Generator().manual_seed(seed)).to(states.device)
    folds = rows.chunk(_FOLDS)
    base = fit.loss(fit.nothing(), rows).item()
    best = (base, 0.0)
    for strength in STRENGTHS:
        found = sum(len(fold) * fit.held_out(strength, rows, fold) for fold in folds) / len(rows)
        if found >= best[0]:
            break  # weaker ones only fit these rows more closely
        best = (found, strength)
    if not best[1]:
        return None
    return Probe(fit.solve(best[1], rows), best[1], best[0], base)


def fit_probes(writer: Writer, table: AnswerTable, states: Tensor, gold: Gold, loss: RowLoss) -> list[Tensor]:
    """Probes on all rows, one for each of `LAST_STRENGTHS`, each (C, d) to be added to the tokens' output weights.

    For a writer that has been trained on these rows: how strongly to hold weights down cannot be seen from them, since
    the states of a row that is left out have learned from it too. It is the weights themselves that are held down, and
    not what they differ by from the base's, which were made for other states.

    Args:
        writer: The language model that the states are of.
        table: The space's trie.
        states: (N, 1 + M, d), as `read_states` gives them.
        gold: N answers.
        loss: Of each row.
    """
    assert writer.projection is not None
    base = writer.lm.get_output_embeddings().weight[writer.projection.tokens].detach().float()
    fit, rows = _Fit(writer, table, states, gold, loss, -base), torch.arange(len(states), device=states.device)
    return [fit.solve(strength, rows) - base for strength in LAST_STRENGTHS]


@torch.no_grad()
def scores_under(writer: Writer, table: AnswerTable, states: Tensor, probe: Tensor) -> TrieScores:
    """What states say of every answer, among the tokens that the trie allows.

    Args:
        writer: The language model that the states are of.
        table: The space's trie.
        states: (N, 1 + M, d), as `read_states` gives them.
        probe: (C, d), in place of the one that the writer has.
    """
    assert writer.projection is not None
    return scores_of(_logits(writer, states, probe), table.renumbered(writer.projection.tokens), "space")


@torch.no_grad()
def _logits(writer: Writer, states: Tensor, probe: Tensor | None = None) -> Tensor:
    """(N, 1 + M, C) logits of the answers' tokens, with a probe (C, d) or with none."""
    assert writer.projection is not None
    tokens, output = writer.projection.tokens, writer.lm.get_output_embeddings()
    weight, bias = output.weight[tokens].float(), None if output.bias is None else output.bias[tokens].float()
    return functional.linear(states, weight if probe is None else weight + probe, bias)


class _Fit:
    """The probe's problem on N rows: states in units of their root mean square, the trie over C tokens."""

    def __init__(
        self,
        writer: Writer,
        table: AnswerTable,
        states: Tensor,
        gold: Gold,
        loss: RowLoss,
        start: Tensor | None = None,  # (C, d), what weights are counted from
    ) -> None:
        assert writer.projection is not None
        self._table, self._gold, self._row_loss = table.renumbered(writer.projection.tokens), gold, loss
        self._base = _logits(writer, states, start)
        with torch.no_grad():
            self._unit = states.square().mean().sqrt()
            self._states = states / self._unit

    def nothing(self) -> Tensor:
        """(C, d) zeros."""
        return self._states.new_zeros(self._base.shape[-1], self._states.shape[-1])

    def loss(self, weight: Tensor, rows: Tensor) -> Tensor:
        """The mean loss of some rows, with weights in the states' own unit."""
        logits = self._base[rows] + functional.linear(self._states[rows], weight)
        log_posterior = scores_of(logits, self._table, "space").log_posterior
        losses = self._row_loss(log_posterior, self._gold.answer_index[rows], self._gold.target[rows])
        return (self._gold.weight[rows] * losses).mean()

    def solve(self, strength: float, rows: Tensor) -> Tensor:
        """(C, d) weights of the states as they are."""
        return self._solve(strength, rows) / self._unit

    def held_out(self, strength: float, rows: Tensor, fold: Tensor) -> float:
        """The mean loss of a fold's rows, with weights fitted to the others."""
        others = rows[~torch.isin(rows, fold)]
        with torch.no_grad():
            return self.loss(self._solve(strength, others), fold).item()

    @torch.enable_grad()
    def _solve(self, strength: float, rows: Tensor) -> Tensor:
        weight = self.nothing().requires_grad_()
        optimizer = torch.optim.LBFGS([weight], max_iter=_STEPS, history_size=20, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            total = self.loss(weight, rows) + strength * weight.square().sum()
            # Joint losses may have weights of their own, which are not to learn yet.
            (weight.grad,) = torch.autograd.grad(total, [weight])
            return total

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        return weight.detach()


def rows_to_fit(rows: int, numbers_each: int, seed: int) -> Iterable[int]:
    """Which training rows the probe is fitted on: all, or as many as time and memory are worth.

    Args:
        rows: How many there are.
        numbers_each: Numbers of one row's states.
        seed: Of the choice.
    """
    most = min(_MOST_ROWS, _MOST_NUMBERS // numbers_each)
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed))[:most].sort().values.tolist()
