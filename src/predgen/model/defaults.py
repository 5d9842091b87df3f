"""What the settings mean where they leave it open: the defaults that go by the task and the answers."""

from __future__ import annotations

from predgen.answers.build import Table
from predgen.answers.spaces import Grid, Space
from predgen.answers.tables import AnswerTable
from predgen.config import DirectorKind, Normalise, RunConfig, Task, WriterStart

EXPECTED_OVER = 2048  # answers up to which their expected value is worth scoring all of them in every training step
OVER_ALL_ANSWERS: tuple[DirectorKind, ...] = ("expected", "crps")  # directors that read every answer's probability
OF_STATES: tuple[DirectorKind, ...] = ("class", "value")  # that read the states of what was written


def director_kind(config: RunConfig, task: Task, space: Space) -> DirectorKind:
    """The director that the settings mean: the default, and what the profiles name, follow the task.

    Numbers are read as the posterior's expected value where they can be listed: in `benchmarks/ablations.py` none of
    the paper's directors came near it. It scores every answer in every step; the paper's own, a value read from the
    answer's states, is the default where they are more than `EXPECTED_OVER`, or have no list.
    """
    kind = config.director.kind
    if kind is None:
        if task == "classification":
            return "class"
        return "expected" if isinstance(space, Grid) and len(space) <= EXPECTED_OVER else "value"
    if kind == "states":
        return "class" if task == "classification" else "value"
    if kind == "released":
        return "vocabulary" if task == "classification" else "ordered_released"
    return kind


def start_of(config: RunConfig, task: Task, space: Space) -> WriterStart:
    """Where the writer starts, as the settings mean it.

    A probe is the default for numbers whose probabilities are what is learned and reported: by a generator, or behind a
    director that scores them, however the losses are joined. The paper's directors read states, which it leaves alone.
    """
    if config.writer.start is not None:
        return config.writer.start
    if config.method == "predictor" or config.writer.normalise == "vocabulary" or not isinstance(space, Grid):
        return "base"
    learned = config.method == "generator" or director_kind(config, task, space) in OVER_ALL_ANSWERS
    return "probe" if learned else "base"


def loss_name(config: RunConfig, task: Task, space: Space) -> str:
    """The joint loss that the settings mean.

    A director that scores the posterior gives a second score of the distribution that the writer's loss scores. Of two
    proper scores the sum is proper, and asks for one and the same distribution; a product, which WDAL is, is not.
    """
    if config.loss is not None:
        return config.loss
    return "sum" if director_kind(config, task, space) in OVER_ALL_ANSWERS else "wdal_released"


def normalisation(config: RunConfig, table: Table) -> Normalise:
    """Among which tokens the writer's probabilities sum to 1.

    Where no setting says so, among those that the answers allow, if these are listed: what is learned is then the very
    posterior that is reported, and no step is spent on teaching the writer to leave the rest of the vocabulary alone.
    """
    if config.writer.normalise is not None:
        return config.writer.normalise
    whole = config.sampling.own == "free" or config.writer.loss_over == "all"
    return "space" if isinstance(table, AnswerTable) and not whole else "vocabulary"
