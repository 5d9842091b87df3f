"""Spaces too large to score one and all, from rows to a run folder and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import predgen
from predgen.answers.spaces import LogGrid, NumberGrid
from predgen.cli import app
from predgen.config_reading import load_config
from predgen.decoding.options import PredictOptions
from predgen.errors import ConfigError, DataError
from predgen.prediction import LabelPrediction, NumberPrediction, to_json
from predgen.training.fit import Fitted, fit

METHODS = ("predgen", "generator", "predictor")
OPTIONS = PredictOptions(quantiles=(0.1, 0.5, 0.9), above=(100.0,), interval="central")


def towns(count: int = 80) -> list[dict[str, object]]:
    return [
        {
            "text": f"Town {number} has {1 + number % 9} hills",
            "people": 13 * (1 + number % 9) ** 3 + number,
            "area": round((1 + number % 9) * 10.0 ** (number % 7 - 2), 3),
            "name": "good " * (number % 3) + ("bad", "very bad", "film")[number % 4 % 3],
        }
        for number in range(count)
    ]


@pytest.fixture(scope="session")
def fit_towns(workshop: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Fitted, list[str]]]:
    folder = tmp_path_factory.mktemp("towns")
    (folder / "towns.jsonl").write_text("\n".join(map(json.dumps, towns())))
    made: dict[tuple[str, ...], tuple[Fitted, list[str]]] = {}

    def make(*assignments: str) -> tuple[Fitted, list[str]]:
        if assignments not in made:
            said: list[str] = []
            config = load_config(
                assignments=[
                    f"data.source={folder / 'towns.jsonl'}",
                    "data.text=text",
                    "data.dev_size=50",
                    "data.test_size=6",
                    f"model.name={workshop / 'base'}",
                    f"out={folder / str(len(made))}",
                    "train.max_steps=3",
                    "train.batch_size=5",
                    "train.evaluations=1",
                    *assignments,
                ]
            )
            made[assignments] = fit(config, say=said.append), said
        return made[assignments]

    return make


BEAM = ("search.exact_nodes=50", "search.beam_nodes=40")
GRID = ("data.target=people", "space.kind=grid", "space.low=0", "space.high=9999", *BEAM)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_a_grid_that_is_searched(
    fit_towns: Callable[..., tuple[Fitted, list[str]]], method: str, tmp_path: Path
) -> None:
    fitted, said = fit_towns(*GRID, f"method={method}")
    assert fitted.run.space == NumberGrid(0, 9999, 0)
    assert fitted.run.record.answers == "beam"
    texts = ["Town 3 has 4 hills", "Town 90 has 9 hills and more of them"]
    predictions = fitted.run.predict(texts)
    assert predgen.load(fitted.folder).predict(texts) == predictions
    if method == "predictor":
        assert not any("a beam opens" in line for line in said)
        assert fitted.metrics["test"]["covered"] is None and "covered" not in to_json(predictions[0])
        return
    assert any("a beam opens up to 40 prefixes" in line for line in said)
    assert any("reads a value" in line for line in said) == (method == "predgen")
    assert 0 < fitted.metrics["test"]["covered"]["least"] <= fitted.metrics["test"]["covered"]["mean"] <= 1
    assert {"mean", "median", "mode", "greedy"} <= set(fitted.metrics["test"]["decisions"])
    assert ("mixed" in fitted.metrics["test"]["decisions"]) == (method == "predgen")
    assert fitted.metrics["test"]["interval"].keys() >= {"crps", "posterior_coverage"}
    for prediction in fitted.run.predict(texts, OPTIONS):
        assert isinstance(prediction, NumberPrediction)
        assert prediction.covered is not None and 0 < prediction.covered <= 1
        assert prediction.quantiles is not None and prediction.above is not None
        low, middle, high = prediction.quantiles.values()
        assert prediction.interval[0] <= low <= middle <= high <= prediction.interval[1]
        assert middle == prediction.median and 0 <= prediction.above["100"] <= 1
    with pytest.raises(DataError, match="searched for"):
        fitted.run.predict_proba(texts)
    out = tmp_path / "m.json"
    rows = tmp_path / "new.jsonl"
    rows.write_text("\n".join(json.dumps(row | {"text": f"{row['text']} now"}) for row in towns(5)))
    ran = CliRunner().invoke(app, ["evaluate", str(fitted.folder), str(rows), "--json", str(out)])
    assert ran.exit_code == 0, ran.output
    assert "of the probability" in ran.output and 0 < json.loads(out.read_text())["covered"]["least"] <= 1


@pytest.mark.parametrize("assignments", ["director.kind=expected", "director.kind=crps", "prompt.long=windows"])
def test_what_needs_every_probability_is_refused_of_a_searched_grid(
    fit_towns: Callable[..., tuple[Fitted, list[str]]], assignments: str
) -> None:
    with pytest.raises(ConfigError, match="needs the probability of every answer"):
        fit_towns(*GRID, assignments)


@pytest.mark.parametrize("method", METHODS)
def test_labels_that_are_searched_keep_their_probabilities(
    fit_towns: Callable[..., tuple[Fitted, list[str]]], method: str
) -> None:
    search = ("search.exact_nodes=1", "search.beam_nodes=9", "search.uncovered=0.01")
    fitted, _ = fit_towns("data.target=name", "task=classification", f"method={method}", *search)
    texts = ["Town 3 has 4 hills", "Town 90"]
    shares = fitted.run.predict_proba(texts)
    assert np.allclose(shares.sum(axis=1), 1)
    for prediction in fitted.run.predict(texts, PredictOptions(top=3)):
        assert isinstance(prediction, LabelPrediction)
        assert len(prediction.probabilities) == 3
        assert (prediction.covered is None) == (method == "predictor")


@pytest.mark.parametrize("method", METHODS)
def test_log_grids_are_fitted_by_every_method(fit_towns: Callable[..., tuple[Fitted, list[str]]], method: str) -> None:
    fitted, said = fit_towns("data.target=area", "space.scale=log", "space.digits=2", f"method={method}")
    assert fitted.run.space == LogGrid(0.01, 99000, 0.01, 2)
    assert any("2 significant digits" in line for line in said)
    again = predgen.load(fitted.folder)
    assert again.predict(["Town 3"], OPTIONS if method != "predictor" else PredictOptions()) == fitted.run.predict(
        ["Town 3"], OPTIONS if method != "predictor" else PredictOptions()
    )
    config = load_config(fitted.folder / "config.yaml")
    assert (config.space.scale, config.space.smallest, config.space.digits) == ("log", 0.01, 2)


def test_targets_between_the_numbers_are_counted_or_refused(
    fit_towns: Callable[..., tuple[Fitted, list[str]]],
) -> None:
    coarse = ("data.target=people", "space.scale=log", "space.digits=1")
    _, said = fit_towns(*coarse, "method=predictor")
    line = next(line for line in said if "training targets lie between" in line)
    assert "at most 4" in line
    with pytest.raises(DataError, match=r"space\.strict is set"):
        fit_towns(*coarse, "method=predictor", "space.strict=true")


def test_draws_make_a_distribution_of_free_numbers(
    fit_towns: Callable[..., tuple[Fitted, list[str]]], tmp_path: Path
) -> None:
    fitted, _ = fit_towns("data.target=people", "space.kind=free", "method=generator")
    texts = ["Town 3 has 4 hills", "Town 90 has 9 hills and more", "Town"]
    options = PredictOptions(samples=12, seed=4, quantiles=(0.5,), above=(9.0,))
    drawn = fitted.run.predict(texts, options)
    for prediction in drawn:
        assert isinstance(prediction, NumberPrediction)
        assert prediction.quantiles == {"0.5": prediction.median} and prediction.above is not None
        assert prediction.above["9"] * 12 == pytest.approx(round(prediction.above["9"] * 12))
        assert prediction.text is not None and fitted.run.space.parse(prediction.text) == prediction.prediction
    # Alone, a row has the answers that it has among others: they are keyed by its place.
    alone = [
        window[0] for place, text in enumerate(texts) for window in fitted.run.stream([text], options, first=place)
    ]
    assert alone == drawn
    assert fitted.run.predict(texts, PredictOptions(samples=12, seed=5)) != fitted.run.predict(
        texts, PredictOptions(samples=12, seed=4)
    )
    cold = fitted.run.predict(texts, PredictOptions(samples=3, temperature=1e-4))
    greedy = fitted.run.predict(texts, PredictOptions(decision="greedy"))
    assert [each.prediction for each in cold] == [each.prediction for each in greedy]
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    arguments = ["predict", str(fitted.folder), str(rows), "--out", str(tmp_path / "p.jsonl")]
    ran = CliRunner().invoke(app, [*arguments, "--samples", "12", "--seed", "4", "--quantile", "0.5", "--above", "9"])
    assert ran.exit_code == 0, ran.output
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [line["prediction"] for line in lines] == [each.prediction for each in drawn]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (PredictOptions(samples=0), "at least 1"),
        (PredictOptions(samples=3, temperature=0.0), "above 0"),
        (PredictOptions(samples=3, interval="conformal"), "not drawn"),
        (PredictOptions(samples=3, decision="greedy"), "no decision 'greedy'"),
    ],
)
def test_draws_that_make_no_sense_are_refused(
    fit_towns: Callable[..., tuple[Fitted, list[str]]], options: PredictOptions, message: str
) -> None:
    fitted, _ = fit_towns("data.target=people", "space.kind=free", "method=generator")
    with pytest.raises(ConfigError, match=message):
        fitted.run.predict(["Town"], options)
    with pytest.raises(ConfigError, match="free numbers that are written"):
        fit_towns(*GRID, "method=generator")[0].run.predict(["Town"], PredictOptions(samples=3))
