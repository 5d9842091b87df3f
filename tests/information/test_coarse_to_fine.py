from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from predgen.errors import ConfigError
from predgen.information.answers import A_PASS, Occlusion, Said, said_without
from predgen.information.coarse_to_fine import leave_out
from predgen.information.faithfulness import faithfulness
from predgen.information.token_map import SHORT, explain, prompt_of
from predgen.information.words import Word
from predgen.run import Run

Loaded = Callable[..., Run]
LONG = "The film 7 was, to say it in many words, not good, but simply terrible, and much too long for us all."


class Additive:
    """An answer p = ½ that each word moves by a weight of its own; words are one token each, the cue is four."""

    def __init__(self, weights: Sequence[float]) -> None:
        self.weights, self.plain = np.array(weights), len(weights) + 4
        self.tokens, self.passes, self.asked = self.plain, 0, list[tuple[int, int]]()
        self.whole = self._said(np.zeros(1))

    def cost(self, stretch: tuple[int, int]) -> int:
        return self.plain - stretch[1]

    def without(self, stretches: Sequence[tuple[int, int]]) -> Said:
        self.asked += stretches
        self.tokens += A_PASS + sum(map(self.cost, stretches))
        self.passes += 1
        return self._said(np.array([self.weights[start:stop].sum() for start, stop in stretches]))

    @staticmethod
    def _said(moved: np.ndarray) -> Said:
        return Said(np.log(np.stack([0.5 + moved, 0.5 - moved], axis=1)), None)


def words(count: int, marks: Sequence[int] = ()) -> list[Word]:
    return [Word("," if place in marks else f" w{place}", place, place + 1) for place in range(count)]


@pytest.mark.parametrize("budget", [1.5, 3.0, 8.0, 15.0])
@pytest.mark.parametrize("place", [0, 17, 39])
def test_the_word_that_matters_is_found_within_the_budget(budget: float, place: int) -> None:
    weights = [0.001] * 40
    weights[place] = 0.3
    made: Any = Additive(weights)
    left = leave_out(made, words(40), budget)
    assert [word for start, stop in left.pieces for word in range(start, stop)] == list(range(40))
    assert made.tokens == made.plain + A_PASS * made.passes + sum(map(made.cost, made.asked))
    assert len(set(made.asked)) == len(made.asked)
    assert left.spent == pytest.approx(made.tokens / made.plain)
    if budget >= 3:  # two halves of a text may cost more than half a prediction
        assert left.spent <= budget
    if budget >= (15 if place == 0 else 8):  # what stands in front costs most
        assert (place, place + 1) in left.pieces
    # Each number is of the very piece: nothing is shared out.
    said = left.said.log_probs
    assert said is not None
    expected = [0.5 + sum(weights[start:stop]) for start, stop in left.pieces]
    np.testing.assert_allclose(np.exp(said[1:, 0]), expected)
    assert left.exact == pytest.approx(1 + (A_PASS + sum(44 - stop for stop in range(1, 41))) / 44)


def test_where_all_words_are_affordable_all_are_left_out() -> None:
    for count, budget in ((40, math.inf), (40, 30.0), (6, 8.0)):
        made: Any = Additive([0.01] * count)
        left = leave_out(made, words(count), budget)
        assert left.pieces == [(place, place + 1) for place in range(count)]
        assert left.spent == pytest.approx(left.exact)


def test_texts_are_cut_behind_marks() -> None:
    made: Any = Additive([0.001] * 40)
    leave_out(made, words(40, marks=[22]), 2.5)
    assert (0, 23) in made.asked and (23, 40) in made.asked


@pytest.mark.parametrize(("method", "target"), [("predgen", "label"), ("generator", "rating"), ("predictor", "rating")])
def test_pieces_of_a_run_are_left_out_as_such(loaded: Loaded, method: str, target: str) -> None:
    run = loaded(method, target)
    prompted = prompt_of(run, LONG)
    made = explain(run, LONG, "occlusion", prompted, budget=4.0)
    assert 2 < len(made.words) < len(prompted.words) == sum(made.sizes)
    assert "".join(word.text for word in made.words) == LONG
    assert any("Skipped" in note for note in made.notes)
    said = said_without(run, prompted.ids, [(word.start, word.stop) for word in made.words])
    if said.log_probs is not None:
        logs = said.log_probs
        expected = (np.exp(logs[:1]) * (logs[:1] - logs[1:])).sum(axis=1)
    else:
        assert said.value is not None
        expected = said.value[0] - said.value[1:]
    np.testing.assert_allclose(made.columns[0].values, expected, atol=2e-4)
    true = faithfulness(run, prompted, made)
    assert true.deletion[-1] == pytest.approx(true.insertion[0], abs=1e-4)
    assert len(explain(run, LONG, "occlusion", prompted).words) < len(prompted.words) > SHORT  # as it is by default
    short = "The film was good, and not too long."
    assert set(explain(run, short).sizes) == {1}
    every = explain(run, LONG, "occlusion", prompted, budget=math.inf)
    assert every.sizes == [1] * len(prompted.words) and not any("Skipped" in note for note in every.notes)


def test_what_is_read_is_counted(loaded: Loaded) -> None:
    run = loaded("predgen", "rating")
    prompted = prompt_of(run, LONG)
    occlusion, tokens = Occlusion(run, prompted.ids), len(prompted.ids)
    answers = run.method.table.inner.shape[0]  # type: ignore[union-attr]
    assert occlusion.plain == occlusion.tokens == tokens + answers
    assert occlusion.cost((3, 5)) == tokens - 5 + answers
    occlusion.without([(3, 5), (0, 2)])
    assert occlusion.tokens == 3 * tokens - 7 + 3 * answers + A_PASS


def test_a_budget_is_a_number_or_all() -> None:
    from predgen.commands.information import _budget

    assert _budget("12.5", "occlusion") == 12.5
    assert _budget("all", "occlusion") == math.inf
    assert _budget(None, "occlusion") is _budget(None, "hidden") is None
    for wrong in ("1", "-3", "nan", "inf", "much"):
        with pytest.raises(ConfigError, match="above 1, or all"):
            _budget(wrong, "occlusion")
    with pytest.raises(ConfigError, match="is of occlusion"):
        _budget("4", "hidden")
