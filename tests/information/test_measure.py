from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from typer.testing import CliRunner

from predgen.cli import app
from predgen.data.batches import pad_prompts
from predgen.data.objects import table_of
from predgen.data.sources import read_table
from predgen.decoding.decode import decode
from predgen.errors import ConfigError, DataError
from predgen.information import representations
from predgen.information.critic import CriticSettings
from predgen.information.estimate import EstimateSettings
from predgen.information.layout import Layout
from predgen.information.measure import MeasureSettings, measure, unseen_rows
from predgen.information.one_answer import OneAnswer, one_answer
from predgen.information.representations import check_kind, extract, layer_count, token_states
from predgen.loading import load_single
from predgen.run import Run
from predgen.training.run_folder import SPLITS, read_json

Loaded = Callable[..., Run]
Folder = Callable[..., Path]
BODIES = ["The film 1 was good.", "bad", "The film 300 was very good, simply liked it a lot."]
FAST = MeasureSettings(
    components=2,
    estimate=EstimateSettings(seeds=(0,), resamples=20, critic=CriticSettings(steps=25)),
    max_rows=None,
    estimators=("mine", "infonce"),
)


def load(folder: Path) -> OneAnswer:
    return one_answer(load_single(folder), None)


@contextmanager
def silent(unit: str, total: int) -> Iterator[Callable[[int], None]]:
    yield lambda rows: None


def test_a_layout_fills_its_slots() -> None:
    prompt = torch.arange(1.0, 7).view(1, 3, 2)
    answer = torch.tensor([[[10.0, 11], [12, 13]]])
    states, real = Layout(2, 3).take(prompt, torch.tensor([[0, 1, 1]]), answer, torch.tensor([[True, False]]))
    assert states[0].tolist() == [[3, 4], [5, 6], [10, 11], [0, 0], [0, 0]]
    assert real.tolist() == [[True, True, True, False, False]]
    states, real = Layout(4, 0).take(prompt, torch.tensor([[0, 1, 1]]), answer, torch.tensor([[True, True]]))
    assert real.tolist() == [[False, False, True, True]]
    with pytest.raises(ConfigError, match="at least one token"):
        Layout(0, 0)


@pytest.mark.parametrize("target", ["label", "rating"])
def test_token_states_are_those_of_one_plain_pass_over_prompt_and_own_answer(loaded: Loaded, target: str) -> None:
    run = loaded("predgen", target)
    layout, layers = Layout(3, 2), [0, 1, layer_count(run)]
    prompts = [run.encoder(body).ids for body in BODIES]
    with torch.no_grad():
        states, real = token_states(run, *pad_prompts(prompts), layout, layers)
        for row, prompt in enumerate(prompts):
            ids = torch.tensor([prompt])
            method = run.method
            prefix = method.writer.prefill(ids, torch.ones_like(ids))  # type: ignore[union-attr, operator]
            own = decode(method.writer, prefix, method.table, "vocabulary").ids[0].tolist()  # type: ignore
            plain = method.writer.lm(torch.tensor([[*prompt, *own]]), output_hidden_states=True)  # type: ignore
            for place, layer in enumerate(layers):
                every = plain.hidden_states[layer][0]
                torch.testing.assert_close(
                    states[row, place, :3], every[len(prompt) - 3 : len(prompt)], atol=2e-4, rtol=1e-4
                )
                first = min(2, len(own))
                torch.testing.assert_close(
                    states[row, place, 3 : 3 + first], every[len(prompt) : len(prompt) + first], atol=2e-4, rtol=1e-4
                )
            assert real[row].tolist() == [True] * 3 + [len(own) > place for place in range(2)]


def test_pooled_states_are_what_the_head_reads(loaded: Loaded) -> None:
    run = loaded("predictor", "label")
    ids, mask = pad_prompts([run.encoder(body).ids for body in BODIES])
    with torch.no_grad():
        states, real = token_states(run, ids, mask, Layout(), [layer_count(run)])
        head = run.method.output(states[:, 0, 0])  # type: ignore[operator]
        scored = run.method.score(ids, mask).class_logits  # type: ignore[operator, union-attr]
    torch.testing.assert_close(head, scored)
    assert real.all()


def test_states_are_kept_and_found_again(loaded: Loaded, run_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(representations, "PART", 2)
    run, folder = loaded("generator", "label"), run_folder("generator", "label")
    layers = [layer_count(run)]
    kept = extract(run, folder, BODIES, Layout(1, 1), layers)
    assert sorted(path.name for path in kept.folder.glob("part-*")) == [
        "part-00000.safetensors", "part-00001.safetensors",
    ]  # fmt: skip
    states, real = kept.read(layers[0], 1)
    assert states.shape == (3, 32) and real.all()
    (kept.folder / "part-00001.safetensors").write_bytes(b"cut off")  # as after a kill in the wrong moment

    read = []
    monkeypatch.setattr(representations, "token_states", lambda *a: (read.append(1), token_states(*a))[1])
    again = extract(run, folder, BODIES, Layout(1, 1), layers)
    assert read == [1]  # the damaged part alone
    np.testing.assert_allclose(again.read(layers[0], 1)[0], states, atol=1e-6)
    other = extract(run, folder, BODIES[:2], Layout(1, 1), layers)
    assert other.folder != kept.folder
    with safe_open(kept.folder / "part-00000.safetensors", framework="pt") as file:
        assert file.get_slice("states").get_shape() == [2, 1, 2, 32]
    with pytest.raises(ConfigError, match="no layer 99"):
        extract(run, folder, BODIES, Layout(), [99])


def test_the_gold_answer_has_no_way_in(loaded: Loaded, run_folder: Folder, shop: Path) -> None:
    """The same texts with other targets give the very same states."""
    table = read_table(shop / "rows.jsonl")
    run = loaded("predgen", "label")
    swapped = [{**row, "label": "bad" if row["label"] == "good" else "good"} for row in table.good_rows]
    for one, other in zip(table.good_rows[:20], swapped, strict=False):
        assert run.body(one) == run.body(other)


def test_only_rows_that_no_run_has_learned_from_are_read(run_folder: Folder, shop: Path) -> None:
    folder = run_folder("predgen", "label")
    table = read_table(shop / "rows.jsonl")
    rows, note = unseen_rows([folder], table, None)
    splits = read_json(folder, SPLITS)
    assert not set(rows) & {*splits["train"]["rows"], *splits["dev"]["rows"]}
    assert len(rows) == 210 and "50 that a run trained or selected on are left out" in note
    with pytest.raises(
        DataError, match=r"260 rows, of which 210 .* 30 are to be read\. An estimate needs at least 150"
    ):
        unseen_rows([folder], table, 30)


def test_methods_side_by_side(run_folder: Folder, shop: Path) -> None:
    folders = [run_folder(method, "label") for method in ("predictor", "predgen")]
    found = measure(folders, load, read_table(shop / "rows.jsonl"), FAST, silent)
    assert [(one.method, one.representation, one.estimate.estimator) for one in found.measured] == [
        (method, states, estimator)
        for method, states in (
            ("predictor", "pooled"),
            ("predictor", "pooled, reduced"),
            ("predgen", "tokens"),
        )
        for estimator in ("mine", "infonce")
    ]
    # Four prompt tokens and as many of the answer's as the labels have, two numbers each.
    assert [one.dimensions for one in found.measured[::2]] == [32, 16, 8 + 2 * 1]
    assert found.ceiling == pytest.approx(np.log(2), abs=0.01)
    assert all(one.estimate.nats <= found.ceiling for one in found.measured)
    assert json.dumps(found.to_json())


def test_bad_input(run_folder: Folder, loaded: Loaded, shop: Path) -> None:
    table = read_table(shop / "rows.jsonl")
    with pytest.raises(DataError, match="only about one target"):
        measure([run_folder("predictor", "label"), run_folder("predictor", "rating")], load, table, FAST, silent)
    with pytest.raises(ConfigError, match="A predictor run has no 'tokens' representation"):
        check_kind(loaded("predictor", "label"), "tokens")
    alike = table_of([{"text": f"film {number}", "label": "good"} for number in range(200)])
    with pytest.raises(DataError, match="All 200 targets are 'good'"):
        measure([run_folder("predictor", "label")], load, alike, FAST, silent)
    with pytest.raises(ConfigError, match="No run was named"):
        measure([], load, table, FAST, silent)


def test_the_commands(run_folder: Folder, shop: Path, tmp_path: Path) -> None:
    folder = run_folder("predgen", "rating")

    def call(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None:
            raise result.exception
        return result.output

    said = call(
        "information", folder, shop / "rows.jsonl", "--by-layer", "--no-sweep", "--seeds", 1, "--components", 2,
        "--estimator", "probe", "--out", tmp_path / "i",
    )  # fmt: skip
    assert "steps of 0.1" in said and "a linear decoder can use" in said
    record = json.loads((tmp_path / "i" / "information.json").read_text())
    assert [one["layer"] for one in record["by_layer"]] == [0, 1, 2]
    assert (tmp_path / "i" / "fig2.png").exists() and (tmp_path / "i" / "layers.png").exists()

    said = call("explain", folder, "The film was not good", "--out", tmp_path / "e")
    assert "expected value (target): The film was not good" in said and "Faithfulness" in said
    assert {path.name for path in (tmp_path / "e").iterdir()} == {
        "explanation.html", "explanation.png", "explanation.json",
    }  # fmt: skip
    said = call(
        "explain", folder, "--row", '{"text": "The film was bad"}', "--no-faithfulness", "--out", tmp_path / "f"
    )
    assert "Faithfulness" not in said
    for wrong, message in (
        (("explain", folder), "Expected a text, or --row"),
        (("explain", folder, "--row", "[1]"), "holds a list"),
        (("explain", folder, "a b", "--estimator", "occlude"), "did you mean 'occlusion'"),
        (("information", folder), "Runs and data are missing"),
        (("information", "--figure", "fig9"), "Unknown figure 'fig9'"),
        (("information", folder, "--figure", "fig2"), "no runs are named"),
    ):
        with pytest.raises((ConfigError, DataError), match=message):
            call(*wrong, "--out", tmp_path / "wrong")
