from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import Tensor

from predgen.config_reading import load_config
from predgen.errors import ConfigError
from predgen.loading import load
from predgen.training.fit import fit
from predgen.training.run_folder import PROBE

from .told import said_by

silent = lambda line: None  # noqa: E731
TEXTS = ["The film 3 was very good", "terrible", "The film 8 was not good"]
LINE = "fitted again to the trained states: dev "
# Too few steps, and too small ones, for output weights that stand still.
POOR = ("train.max_steps=4", "train.learning_rate=0.002", "writer.start=base", "train.calibrate=off")


def bytes_of(folder: Path, name: str) -> bytes:
    return (folder / name).read_bytes()


@pytest.mark.parametrize(
    "changed",
    [
        (),
        ("director.kind=value", "loss=director_only"),
        ("method=generator",),
        ("method=predictor",),
        ("method=predictor", "data.target=label"),
        ("method=predictor", "predictor.pooling=attention"),
        ("method=predictor", "prompt.long=windows", "prompt.max_tokens=12"),
        ("data.target=label",),
        ("prompt.long=windows", "prompt.max_tokens=12"),
    ],
)
def test_what_is_kept_is_better_on_dev_and_nothing_else_has_changed(
    settings: list[str], changed: tuple[str, ...], tmp_path: Path
) -> None:
    changed = (*POOR, *changed)
    before, said = said_by([*settings, *changed])
    assert "fitted again" not in said and ".finish" not in said
    whose = "predictor" if "method=predictor" in changed else "writer"
    after, said = said_by([*settings, *changed, f"out={tmp_path / 'refit'}", f"{whose}.finish=probe"])
    was, now = before.metrics["dev"], after.metrics["dev"]
    assert f"{LINE}{was['metric']} {was['value']:.4f} → {now['value']:.4f}, kept" in said
    gain = was["value"] - now["value"] if was["metric"] == "mae" else now["value"] - was["value"]
    assert gain > 0.05
    assert bytes_of(after.folder, "adapter_model.safetensors") == bytes_of(before.folder, "adapter_model.safetensors")
    again, own = (run.score_answers_raw(TEXTS)[0] for run in (load(after.folder), after.run))
    for name in ("log_posterior", "class_logits", "value"):
        torch.testing.assert_close(getattr(again, name), getattr(own, name))


def test_what_is_no_better_on_dev_is_left(settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, _ = said_by(settings)

    def useless(*arguments: object) -> list[Tensor]:
        return [-factor * before.run.method.writer.projection.probe for factor in (10, 20)]

    monkeypatch.setattr("predgen.training.refit_weights.fit_probes", useless)
    after, said = said_by([*settings, f"out={tmp_path / 'refit'}", "writer.finish=probe"])
    assert LINE in said and "left as before" in said
    assert after.metrics["dev"] == before.metrics["dev"]
    assert bytes_of(after.folder, PROBE) == bytes_of(before.folder, PROBE)
    assert torch.equal(after.run.method.writer.projection.probe, before.run.method.writer.projection.probe)


def test_of_the_candidates_dev_rows_choose_the_best(
    settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = said_by([*settings, *POOR, "writer.finish=probe"])
    right = whole.run.method.writer.projection.probe

    def candidates(*arguments: object) -> list[Tensor]:
        return [torch.zeros_like(right), right, -right]

    monkeypatch.setattr("predgen.training.refit_weights.fit_probes", candidates)
    after, _ = said_by([*settings, *POOR, f"out={tmp_path / 'refit'}", "writer.finish=probe"])
    assert torch.equal(after.run.method.writer.projection.probe, right)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (("method=predgen",), "has no head"),
        (("method=predictor", "data.train_size=12"), "12 training rows"),
        (("method=predictor", "data.target=[label,rating]"), "several answers"),
    ],
)
def test_a_head_that_is_not_there_or_has_too_few_rows_is_refused(
    settings: list[str], changed: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"predictor.finish=probe cannot be had here(.|\\n)*{why}"):
        said_by([*settings, *changed, "predictor.finish=probe"])
    assert not (tmp_path / "run").exists()


def test_killed_behind_it_a_run_ends_as_if_it_had_not_been(
    settings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [*settings, *POOR, "writer.finish=probe"]
    whole, _ = said_by(settings)
    monkeypatch.setattr("predgen.training.fit._write_run", _killed)
    cut = [*settings, f"out={tmp_path / 'cut'}"]
    with pytest.raises(KeyboardInterrupt):
        said_by(cut)
    assert bytes_of(tmp_path / "cut", PROBE) == bytes_of(whole.folder, PROBE)
    monkeypatch.undo()
    resumed = fit(load_config(assignments=cut), say=silent, resume=True)
    assert bytes_of(resumed.folder, PROBE) == bytes_of(whole.folder, PROBE)
    assert resumed.metrics == whole.metrics
    told, first = asdict(resumed.run.record), asdict(whole.run.record)
    assert (told["dev_value"], told["calibration"]) == (first["dev_value"], first["calibration"])


def _killed(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_run_that_goes_on_starts_from_what_was_kept(settings: list[str], tmp_path: Path) -> None:
    before, _ = said_by([*settings, *POOR, "writer.finish=probe"])
    config = load_config(assignments=[*settings, *POOR, "writer.finish=probe", f"out={tmp_path / 'on'}"])
    after = fit(config, say=silent, start_from=before.folder)
    assert after.metrics["dev"]["value"] <= before.metrics["dev"]["value"] + 0.05  # an error
    assert load(after.folder).record.base["probe"] is not None
