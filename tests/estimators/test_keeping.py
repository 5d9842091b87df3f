from __future__ import annotations

import copy
import gc
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import peft
import psutil
import pytest
import torch
from sklearn.base import clone

from predgen.config_reading import load_config
from predgen.errors import RunFolderError
from predgen.estimators import PredGenClassifier, PredGenRegressor
from predgen.estimators.kept_run import KeptRun
from predgen.training.fit import fit

from .conftest import LABELS, RATINGS, TEXTS

Make = Callable[..., PredGenClassifier]


def test_joblib_carries_the_run_folder_and_no_pickled_weights(classifier: Make, tmp_path: Path) -> None:
    model = classifier(method="predgen").fit(TEXTS, LABELS)
    expected, folder = model.predict_proba(TEXTS), model.kept_.folder
    joblib.dump(model, tmp_path / "model.joblib")
    state = model.kept_.__getstate__()
    assert {"adapter_model.safetensors", "director.safetensors", "predgen.json"} <= state["files"].keys()
    # The base model is not among them: 2 MB of weights, of which the adapter is a fraction.
    assert sum(map(len, state["files"].values())) < 400_000
    named = {argument for _, argument, _ in pickletools.genops(pickle.dumps(model)) if isinstance(argument, str)}
    assert "predgen.estimators.kept_run" in named
    assert not any(name.startswith(("torch", "transformers", "peft.")) for name in named)
    del model
    gc.collect()
    assert not folder.exists(), "a temporary folder goes away with its estimator"
    again = joblib.load(tmp_path / "model.joblib")
    assert np.array_equal(again.predict_proba(TEXTS), expected) and again.kept_.folder.exists()
    # A copy of a copy, whose folder was never written out.
    assert np.array_equal(copy.deepcopy(joblib.load(tmp_path / "model.joblib")).predict_proba(TEXTS), expected)


def test_a_fork_does_not_remove_the_folder() -> None:
    from predgen.estimators import kept_run

    kept = KeptRun.in_new_folder()
    kept_run._remove(kept.folder.parent, owner=-1)
    assert kept.folder.exists()


def test_save_and_load(classifier: Make, tmp_path: Path) -> None:
    y = np.where(LABELS == "good", 1, 0)
    model = classifier(class_weight={1: 2.0, 0: 1.0}, settings=("train.clip=2.0",), random_state=np.int64(5))
    model.fit(np.array(TEXTS).reshape(-1, 1), y)
    model.save(tmp_path / "run")
    again = PredGenClassifier.load(tmp_path / "run")
    assert np.array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))
    assert again.classes_.dtype == y.dtype and again.n_features_in_ == 1
    changed = {name for name, value in again.get_params().items() if value != model.get_params()[name]}
    assert changed <= {"class_weight"}  # whose labels JSON knows as texts
    # It can be fitted again, and goes on as the first would.
    assert again.run_.record.config == model.run_.record.config
    assert clone(again).fit(TEXTS, y).run_.record.config["train"] == model.run_.record.config["train"]
    with pytest.raises(RunFolderError, match="another run"):
        model.save(tmp_path / "run")
    with pytest.raises(RunFolderError, match="run of classification"):
        PredGenRegressor.load(tmp_path / "run")


def test_any_run_folder_becomes_an_estimator(tiny_base: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "rating": float(rating)} for text, rating in zip(TEXTS, RATINGS, strict=True)]
    assignments = [f"model.name={tiny_base}", f"out={tmp_path / 'run'}", "train.max_steps=2", "train.evaluations=1"]
    config = load_config(assignments=[*assignments, "data.test_size=0", "sampling.end=0.5", "method=generator"])
    fitted = fit(config, data=rows, say=lambda line: None, report=False)
    model = PredGenRegressor.load(tmp_path / "run")
    assert model.method == "generator" and "sampling.end=0.5" in model.settings
    expected = [each.prediction for each in fitted.run.predict(TEXTS)]
    assert np.allclose(model.predict(TEXTS), expected, atol=1e-5)


def test_twenty_fits_leave_neither_adapters_nor_memory_behind(classifier: Make) -> None:
    model, process = classifier(max_steps=1), psutil.Process()

    def alive() -> tuple[int, int]:
        gc.collect()
        # By `type`: asking some objects for their class makes them warn.
        known = [each for each in gc.get_objects() if issubclass(type(each), torch.nn.Module | torch.Tensor)]
        adapted = [each for each in known if isinstance(each, peft.PeftModel)]
        return len(known), len(adapted)

    memory = []
    others = alive()[1]  # fixtures of other tests keep theirs
    for _ in range(3):
        model.fit(TEXTS, LABELS)
    first = alive()
    for _ in range(17):
        model.fit(TEXTS, LABELS)
        memory.append(process.memory_info().rss)
    assert first[1] == others + 1 and alive() == first
    # One base with its adapter is a quarter of a megabyte; the rest is the allocator's.
    assert memory[-1] - memory[2] < 20 * 2**20
    # The base on disk is as it was: a fit adapts its own copy.
    names = [name for name, _ in model.run_.method.named_parameters() if "lora_A" in name]
    assert len(names) == len(set(names)) and all(name.count("base_layer") == 0 for name in names)
