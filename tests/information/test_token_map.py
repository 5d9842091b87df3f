from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from predgen.answers.spaces import LabelSet, LogGrid, NumberGrid
from predgen.answers.tables import AnswerTable
from predgen.answers.trie import build_trie
from predgen.decoding.score import score_trie
from predgen.errors import ConfigError, DataError
from predgen.information import gradients, leave_out
from predgen.information.answers import Said, said_under, said_without
from predgen.information.faithfulness import faithfulness
from predgen.information.render import shade, terminal_lines, write_html, write_png
from predgen.information.token_map import Column, digit_log_probs, explain, occlusion_columns, prompt_of
from predgen.model.scale import scale_of
from predgen.model.writer import Writer
from predgen.run import Run

TEXT = "The film 7 was not good, simply terrible <b>"
Loaded = Callable[..., Run]
CASES = [
    ("predgen", "label"),
    ("predgen", "rating"),
    ("generator", "label"),
    ("predictor", "label"),
    ("predictor", "rating"),
]


@pytest.mark.parametrize(("method", "target"), CASES)
def test_a_word_left_out_is_as_if_it_had_never_been_there(loaded: Loaded, method: str, target: str) -> None:
    run = loaded(method, target)
    prompted = prompt_of(run, TEXT)
    said = said_without(run, prompted.ids, [(word.start, word.stop) for word in prompted.words])
    for row, word in enumerate(prompted.words, start=1):
        # The slow way: the prompt without these tokens, read alone.
        kept = [*prompted.ids[: word.start], *prompted.ids[word.stop :]]
        alone = said_under(run, kept, torch.ones(1, len(kept), dtype=torch.long))
        for part, whole in zip(alone, said, strict=True):
            if part is not None and whole is not None:
                np.testing.assert_allclose(whole[row], part[0], atol=2e-4)


@pytest.mark.parametrize("virtual", [0, 3])
def test_tails_in_one_row_read_as_every_architecture_reads_them(
    tiny_model: Any, byte_level: Any, virtual: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leave_out, "COLUMNS_AT_ONCE", 40)  # several passes
    if virtual:
        tiny_model.virtual_ids = torch.arange(5, 5 + virtual)
    writer = Writer(tiny_model)
    table = AnswerTable(build_trie(LabelSet(("good", "very good", "bad")), byte_level, "\nAnswer:"))
    ids = torch.randint(10, 300, (20,), generator=torch.Generator().manual_seed(0)).tolist()
    stretches = [(0, 1), (0, 12), (3, 4), (4, 9), (2, 3), (18, 19), (7, 19)]
    with torch.no_grad():
        whole = leave_out.read_whole(writer, ids, torch.device("cpu"), states=True)
        parts = list(leave_out.read_without(writer, whole, ids, stretches))
        assert len(parts) > 1
        read = [score_trie(writer, part.prefix, table).log_posterior for part in parts]
        states = [row[mask.bool()] for part in parts for row, mask in zip(part.states, part.mask, strict=True)]
        for number, (start, stop) in enumerate(stretches):
            kept = torch.tensor([[*ids[:start], *ids[stop:]]])
            there = torch.ones_like(kept)
            plain = score_trie(writer, writer.prefill(kept, there), table).log_posterior
            torch.testing.assert_close(torch.cat(read)[number], plain[0], atol=2e-4, rtol=1e-4)
            torch.testing.assert_close(states[number], writer.read(kept, there)[0], atol=2e-4, rtol=1e-4)


def test_columns_of_labels_by_hand(loaded: Loaded) -> None:
    run = loaded("predgen", "label")
    said = said_without(run, prompt_of(run, TEXT).ids, [])
    logs = np.log([[0.5, 0.5], [0.25, 0.75]])
    columns = occlusion_columns(run, said._replace(log_probs=logs))
    assert [column.name for column in columns] == ["divergence", *run.space.texts]  # type: ignore[union-attr]
    assert columns[0].values == pytest.approx([0.5 * math.log(2) + 0.5 * math.log(2 / 3)])
    assert columns[1].values == pytest.approx([math.log(2)])
    assert columns[2].values == pytest.approx([math.log(2 / 3)])


def test_columns_of_numbers(loaded: Loaded) -> None:
    run = loaded("predgen", "rating")
    columns = explain(run, TEXT).columns
    assert [column.name for column in columns] == ["divergence", "expected value", "sign", "digit 1", "digit 0.1"]
    # What is said of one digit is part of what is said of all.
    for column in columns[2:]:
        assert all(part <= whole + 1e-9 for part, whole in zip(column.values, columns[0].values, strict=True))


def test_digits_by_hand() -> None:
    grid = NumberGrid(9, 11, 0)  # " 9", "10", "11"
    found = dict(digit_log_probs(grid, np.log([[0.2, 0.3, 0.5]])))
    assert sorted(found) == ["digit 1", "digit 10"]
    assert np.exp(found["digit 10"]) == pytest.approx(np.array([[0.2, 0.8]]))  # " ", "1"
    assert np.exp(found["digit 1"]) == pytest.approx(np.array([[0.3, 0.5, 0.2]]))  # "0", "1", "9"


@pytest.mark.parametrize(("method", "target"), CASES)
def test_hidden_maps(loaded: Loaded, method: str, target: str) -> None:
    run = loaded(method, target)
    made = explain(run, TEXT, "hidden")
    assert all(len(column.values) == len(made.words) for column in made.columns)
    assert all(0 <= value < 7 for column in made.columns for value in column.values)
    if (method, target) == ("predgen", "label"):
        assert {column.name for column in made.columns} == set(run.space.texts)  # type: ignore[union-attr]
        assert made.columns[0].name == made.answer


@pytest.mark.parametrize("target", ["label", "rating"])
def test_gradients_add_up_to_the_change(loaded: Loaded, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    pytest.importorskip("captum")
    monkeypatch.setattr(gradients, "_STEPS", 200)
    run = loaded("predgen", target)
    prompted = prompt_of(run, TEXT)
    made = explain(run, TEXT, "gradients", prompted)
    method = run.method
    place = list(run.space.texts).index(made.columns[0].name)  # type: ignore[union-attr]
    tokens = method.table.targets[place][: int(method.table.target_mask[place].sum()) - 1].tolist()  # type: ignore
    ids = torch.tensor([[*prompted.ids, *tokens]])
    embeddings = method.writer.lm.get_input_embeddings()(ids).detach()  # type: ignore
    empty = gradients.without_words(method, embeddings, prompted)
    read = gradients._written_log_prob(method, place, tokens)
    with torch.no_grad():
        full = float(read(embeddings, torch.ones_like(ids)))
        change = full - float(read(empty, torch.ones_like(ids)))
    posterior = run.score_raw([run.body(TEXT)]).log_posterior
    assert posterior is not None and full == pytest.approx(float(posterior[0, place]), abs=1e-4)
    assert sum(made.columns[0].values) == pytest.approx(change, abs=0.1 + 0.1 * abs(change))


def test_a_map_that_is_right_is_called_true(loaded: Loaded) -> None:
    run = loaded("predgen", "rating")
    prompted = prompt_of(run, TEXT)
    made = explain(run, TEXT, "occlusion", prompted)
    true = faithfulness(run, prompted, made, made.columns[1])
    assert true.shares[0] == 0 and true.shares[-1] == 1
    assert true.deletion[0] == pytest.approx(0, abs=1e-5)
    assert true.insertion[-1] == pytest.approx(0, abs=1e-5)
    # With no word left both ways say the same.
    assert true.deletion[-1] == pytest.approx(true.insertion[0], abs=1e-4)
    assert true.random[-1] == pytest.approx(true.deletion[-1], abs=1e-4)
    best = max(range(len(prompted.words)), key=lambda place: abs(made.columns[1].values[place]))
    assert abs(made.columns[1].values[best]) > 0 and "Faithfulness" in true.line()


def test_words_are_ranked_by_the_answer_that_is_given(loaded: Loaded) -> None:
    made = explain(loaded("predgen", "label"), TEXT)
    assert made.answer.startswith(f"{made.main.name} (")
    assert explain(loaded("predgen", "rating"), TEXT).main.name == "expected value"
    assert explain(loaded("predictor", "rating"), TEXT).main.name == "value"
    assert explain(loaded("predgen", "label"), TEXT, "hidden").main.name in ("good", "bad")


def test_what_is_shown(loaded: Loaded, tmp_path: Path) -> None:
    run = loaded("predgen", "label")
    prompted = prompt_of(run, TEXT)
    made = explain(run, TEXT, "occlusion", prompted)
    true = faithfulness(run, prompted, made)
    lines = [line.plain for line in terminal_lines(made)]
    assert lines[0] == f"divergence (nats): {TEXT}"
    write_html(made, true, tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text()
    assert "&lt;" in page and "<b>" not in page and "http" not in page
    write_png(made, true, tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes()[1:4] == b"PNG"
    assert json.dumps(made.to_json())


def test_shades() -> None:
    assert shade(0.0, 1.0) == (255, 255, 255)
    assert shade(2.0, 2.0) == (230, 159, 0)
    assert shade(-2.0, 2.0) == (0, 114, 178)
    assert shade(0.0, 0.0) == (255, 255, 255)


def test_what_cannot_be_explained_is_said(loaded: Loaded) -> None:
    run = loaded("predgen", "label")
    with pytest.raises(DataError, match="needs at least two"):
        prompt_of(run, "good")
    long = prompt_of(run, "bad film " * 200)
    assert any("beyond the context" in note for note in long.notes)
    assert any("cue" in note for note in long.notes)
    windows = loaded("generator", "label", "prompt.long=windows", "prompt.max_tokens=40")
    assert any("windows; answer and map" in note for note in prompt_of(windows, "bad film " * 60).notes)
    free = loaded("generator", "rating", "space.kind=free")
    with pytest.raises(ConfigError, match="no distribution"):
        explain(free, TEXT)
    assert explain(free, TEXT, "hidden").columns


def test_without_a_cue_the_last_word_stays(loaded: Loaded) -> None:
    run = loaded("generator", "label", "prompt.cue=''")
    prompted = prompt_of(run, "The film was good")
    assert [word.text for word in prompted.words] == ["The", " film", " was"]
    assert len(explain(run, "The film was good").main.values) == 3


def test_a_column_knows_its_direction() -> None:
    assert Column("good", "nats", True, [0.1]).signed


def test_small_changes_are_drawn_pale(loaded: Loaded) -> None:
    assert Column("good", "nats", True, [0.01, -0.02], 0.05).scale == 0.05
    assert Column("good", "nats", True, [0.01, -0.2], 0.05).scale == 0.2
    run = loaded("predgen", "label")
    said = said_without(run, prompt_of(run, TEXT).ids, [])
    columns = occlusion_columns(run, said._replace(log_probs=np.log([[0.5, 0.5], [0.501, 0.499]])))
    assert all(column.scale == 0.05 for column in columns)
    rating = loaded("predgen", "rating")
    assert explain(rating, TEXT).main.small == pytest.approx(0.1 * rating.record.spread)


def test_a_small_change_on_a_log_grid_is_one_of_its_middle() -> None:
    space = LogGrid(1, 9_900_000, 1, 2)
    scale = scale_of(space, [100.0, 10_000.0, 1_000_000.0])
    run: Any = SimpleNamespace(space=space, record=SimpleNamespace(mean=scale.mean, spread=scale.spread))
    column = occlusion_columns(run, Said(None, np.array([10_000.0, 10_100.0])))[0]
    # The middle is 10^4, the spread that of logarithms: a tenth of it is a factor, and a change in the target's units.
    assert column.small == pytest.approx(10_000 * (math.exp(0.1 * scale.spread) - 1), rel=1e-3)
