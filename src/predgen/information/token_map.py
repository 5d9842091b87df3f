"""How much each word of one text has to do with the answer: three estimators, each named for what it is.

occlusion  What the answer's distribution loses without the word: D(p(· | x) ‖ p(· | x without it)) in nats, exact over
           the answers; signed for one option (log p with − log p without) and for the expected value (with − without).
hidden     Between the state of an answer token and that of an input token, −½ log(1 − ρ²) in nats a coordinate:
           their mutual information if their d standardised coordinates were d draws from a pair of normal variables
           with correlation ρ. It says how alike two states of one text are, not what texts have in common.
gradients  Integrated gradients (Sundararajan et al. 2017) of an option's log-probability along the way from the
           vocabulary's mean embedding, by captum: a reference, not an information.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from predgen.answers.spaces import LabelSet, NumberGrid
from predgen.data.tokens import decode as spell
from predgen.errors import DataError
from predgen.information.answers import Occlusion, Said, check_explainable, check_shared, divergences, said_without
from predgen.information.coarse_to_fine import LeftOut, leave_out
from predgen.information.words import Word, words_of
from predgen.model.scale import stored_scale
from predgen.run import Run
from predgen.streaming import Row

Floats = NDArray[np.float64]
EstimatorName = Literal["occlusion", "hidden", "gradients"]
SMALL_NATS = 0.05  # a change of a distribution, or of an option's log-probability, that one need not explain
SMALL_SPREAD = 0.1  # of a number, in standard deviations of the training targets
BUDGET = 8.0  # plain predictions that a map of a longer text may cost
SHORT = 20  # words that are all left out alone, whatever they cost
MAP_ESTIMATORS: tuple[EstimatorName, ...] = ("occlusion", "hidden", "gradients")


@dataclass(frozen=True)
class Column:
    """One number a word.

    Args:
        name: Of what: "divergence", an option, a digit's place, "expected value".
        unit: Of the numbers.
        signed: Whether they have a direction: above zero the word speaks for it.
        values: One a word.
        small: A size that is still a small one; colours are no stronger than it deserves.
    """

    name: str
    unit: str
    signed: bool
    values: list[float]
    small: float = 0.0

    @property
    def scale(self) -> float:
        """The size that is drawn in full colour: the largest, or `small` where all are smaller."""
        return max(self.small, *map(abs, self.values))


@dataclass(frozen=True)
class TokenMap:
    """A map over one text.

    Args:
        estimator: In `MAP_ESTIMATORS`.
        method: The run's.
        body: The text as the prompt shows it.
        answer: What the run answers, in words.
        words: The body's, in order; or pieces of several words each, where words alone were too many.
        columns: What each of them has to do with it.
        sizes: How many words each of them is.
        notes: What is left out of the map, and why.
    """

    estimator: str
    method: str
    body: str
    answer: str
    words: list[Word]
    columns: list[Column]
    sizes: list[int]
    notes: list[str] = field(default_factory=list)

    @property
    def main(self) -> Column:
        """The column that words are ranked by: the given label's, or the expected value's, where there is one."""
        wanted = (self.answer.rpartition(" (")[0] or self.answer, "expected value")
        return next((column for column in self.columns if column.signed and column.name in wanted), self.columns[0])

    def to_json(self) -> dict[str, Any]:
        """A JSON form, its keys the fields' names."""
        return asdict(self)


@dataclass(frozen=True)
class Prompted:
    """One row as tokens, and which of them belong to the row.

    Args:
        body: Rendered.
        ids: The whole prompt.
        words: Of the body.
        notes: What of the prompt is no part of the words.
    """

    body: str
    ids: list[int]
    words: list[Word]
    notes: list[str]


def prompt_of(run: Run, row: Row) -> Prompted:
    """Encodes a row and finds its words.

    Raises:
        DataError: If the row cannot be read, or holds fewer than two words.
    """
    check_shared(run)
    body = run.body(row)
    encoded, *further = run.encoder.parts(body)
    frame = run.encoder.frame
    start, stop = len(frame.start), len(encoded.ids) - len(frame.end)
    words = words_of(run.tokenizer, encoded.ids, start, stop)
    cue = spell(run.tokenizer, frame.end)
    notes = [f"The cue {cue!r} ends every prompt and is not left out."]
    if words and words[-1].stop == len(encoded.ids):
        # The answer is predicted by the prompt's last token.
        notes = ["The last word is what the answer stands behind, without a cue; it is not left out."]
        words = words[:-1]
    if len(words) < 2:
        raise DataError(f"{body!r} has {len(words)} word to leave out.", "A map needs at least two.")
    if start:
        notes.append(f"{start} special or framing tokens in front cannot be left out.")
    if further:
        notes.append(f"The text is read in {1 + len(further)} windows; answer and map are of the first alone.")
    if encoded.cut:
        notes.append(
            f"{encoded.cut} tokens are beyond the context; the model does not read them, and the map ends there."
        )
    return Prompted(body, encoded.ids, words, notes)


def explain(
    run: Run,
    row: Row,
    estimator: EstimatorName = "occlusion",
    prompted: Prompted | None = None,
    budget: float | None = None,
) -> TokenMap:
    """Makes a map.

    Args:
        run: A fitted run.
        row: A text, or a mapping of the template's columns.
        estimator: In `MAP_ESTIMATORS`.
        prompted: What `prompt_of` gave for the row, if it is there.
        budget: What occlusion may cost, in plain predictions of the same prompt; longer texts are left out in pieces,
            words only where the answer depends on them. Infinite: every word alone. None: that for texts of up to
            `SHORT` words, else `BUDGET`.

    Raises:
        DataError: If the row cannot be read.
        ConfigError: If the run's answers have no distribution, or captum is asked for and missing.
    """
    prompted = prompted or prompt_of(run, row)
    words, sizes, notes = prompted.words, [1] * len(prompted.words), list(prompted.notes)
    if estimator == "occlusion":
        check_explainable(run)
        if budget is None:
            budget = math.inf if len(words) <= SHORT else BUDGET
        left = leave_out(Occlusion(run, prompted.ids), words, budget)
        columns, answer = occlusion_columns(run, left.said), answer_text(run, left.said)
        if len(left.pieces) < len(words):
            sizes = [stop - start for start, stop in left.pieces]
            notes.append(_in_pieces(left, sizes))
            words = [_joined(words[start:stop]) for start, stop in left.pieces]
        if all(column.scale <= column.small for column in columns):
            notes.append(_says_little(columns[0]))
    elif estimator == "hidden":
        from predgen.information.hidden import hidden_columns

        columns, answer = hidden_columns(run, prompted)
    else:
        from predgen.information.gradients import gradient_columns

        check_explainable(run)
        said = said_without(run, prompted.ids, [])
        columns, answer = gradient_columns(run, prompted, said), answer_text(run, said)
    method = str(run.record.config["method"])
    return TokenMap(estimator, method, prompted.body, answer, words, columns, sizes, notes)


def _says_little(column: Column) -> str:
    most = max(map(abs, column.values))
    return f"No word alone changes the answer ({column.name}: at most {most:.2g} {column.unit}): the colours are pale."


def _joined(words: Sequence[Word]) -> Word:
    return Word("".join(word.text for word in words), words[0].start, words[-1].stop)


def _in_pieces(left: LeftOut, sizes: Sequence[int]) -> str:
    larger = [size for size in sizes if size > 1]
    return (
        f"Skipped: {sum(larger)} words stand in {len(larger)} pieces of up to {max(larger)}, each left out as one: the "
        "budget went to the pieces that change the answer most. A piece's number is its own, not its words': they can "
        f"undo each other. Cost: {left.spent:.1f} plain predictions, counted in tokens; every word alone would take "
        f"{left.exact:.0f} (--budget all)."
    )


def answer_text(run: Run, said: Said) -> str:
    """What the run says of the whole prompt."""
    if isinstance(run.space, LabelSet):
        assert said.log_probs is not None
        best = int(said.log_probs[0].argmax())
        return f"{run.space.labels[best]} ({math.exp(said.log_probs[0, best]):.2f})"
    assert said.value is not None
    return f"{said.value[0]:.3g}" + (" (expected value)" if said.log_probs is not None else "")


def _small_number(run: Run) -> float:
    """A small change of a number in the target's units; on a log grid, whose spread is a logarithm's, at its middle."""
    assert not isinstance(run.space, LabelSet)
    scale = stored_scale(run.space, run.record.mean, run.record.spread)
    still, moved = scale.restore(torch.tensor([0.0, SMALL_SPREAD], dtype=torch.float64)).tolist()
    return float(moved - still)


def occlusion_columns(run: Run, said: Said) -> list[Column]:
    """The first of the variants beside each of the others.

    Args:
        run: Whose answers.
        said: The whole prompt first, then without each word.
    """
    columns = []
    if said.log_probs is not None:
        columns.append(
            Column("divergence", "nats", False, divergences(said.log_probs[:1], said.log_probs[1:]), SMALL_NATS)
        )
    if isinstance(run.space, LabelSet) and said.log_probs is not None:
        shifts = said.log_probs[:1] - said.log_probs[1:]
        for place, label in enumerate(run.space.labels):
            columns.append(Column(label, "nats", True, shifts[:, place].tolist(), SMALL_NATS))
        return columns
    assert said.value is not None
    name, moved = "value" if said.log_probs is None else "expected value", said.value[0] - said.value[1:]
    columns.append(Column(name, "target", True, moved.tolist(), _small_number(run)))
    if said.log_probs is not None and isinstance(run.space, NumberGrid):
        for name, logs in digit_log_probs(run.space, said.log_probs):
            columns.append(Column(name, "nats", False, divergences(logs[:1], logs[1:]), SMALL_NATS))
    return columns


def digit_log_probs(grid: NumberGrid, log_probs: Floats) -> list[tuple[str, Floats]]:
    """The distribution of each written character, place by place from the left; places with no choice are left out.

    Args:
        grid: The numbers.
        log_probs: (S, A).

    Returns:
        The place's name and (S, characters) log-probabilities.
    """
    width = max(map(len, grid.texts))
    texts = [text.rjust(width) for text in grid.texts]
    point = width - (grid.decimals + 1 if grid.decimals else 0)
    found = []
    for place in range(width):
        characters = sorted({text[place] for text in texts})
        if len(characters) < 2:
            continue
        member = np.array([[text[place] == character for character in characters] for text in texts])
        masses = np.exp(log_probs) @ member
        found.append((_place_name(place, point, characters), np.log(np.maximum(masses, 1e-300))))
    return found


def _place_name(place: int, point: int, characters: Sequence[str]) -> str:
    if set(characters) <= {"+", "-", " "}:
        return "sign"
    power = point - 1 - place if place < point else point - place
    return f"digit {10.0**power:g}"
