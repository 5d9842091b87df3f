from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import predgen
from predgen.serving.shared_base import SharedBases, twin

TEXTS = ["The film 3 was very good.", "simply bad"]


def base_tensors(run: Any) -> dict[str, torch.Tensor]:
    """The writer's weights without what was learned, by their names in the base."""
    tensors = {}
    for name, tensor in run.method.writer.lm.named_parameters():
        if "lora_" not in name:
            tensors[name.replace("base_model.model.", "").replace(".base_layer", "")] = tensor
    return tensors


def test_runs_over_one_base_hold_its_weights_once(runs: Callable[..., Any]) -> None:
    one, other = (served.run for served in runs(["label", "tags"]))
    mine, its = base_tensors(one), base_tensors(other)
    assert mine.keys() == its.keys() and len(mine) > 10
    for name, tensor in mine.items():
        assert tensor.data_ptr() == its[name].data_ptr(), name
    adapters = [
        {name: tensor for name, tensor in run.method.writer.lm.named_parameters() if "lora_" in name}
        for run in (one, other)
    ]
    assert adapters[0] and not {each.data_ptr() for each in adapters[0].values()} & {
        each.data_ptr() for each in adapters[1].values()
    }


@pytest.mark.parametrize("kind", ["label", "record"])
def test_a_run_beside_others_answers_as_it_does_alone(
    runs: Callable[..., Any], shop: Callable[[str], Path], kind: str
) -> None:
    together = {served.name: served.run for served in runs(["tags", "label", "record"])}
    alone = predgen.load(shop(kind))
    for given, expected in zip(together[kind].predict(TEXTS), alone.predict(TEXTS), strict=True):
        assert repr(given) == repr(expected)


def test_a_base_is_read_once_under_all_of_its_names(tiny_base: Path, tmp_path: Path) -> None:
    linked = tmp_path / "link"
    linked.symlink_to(tiny_base)
    bases = SharedBases()
    one, other = bases(str(tiny_base)), bases(str(linked))
    assert one.model is not other.model and one.sha256 == other.sha256
    pointers = [{tensor.data_ptr() for tensor in base.model.parameters()} for base in (one, other)]
    assert pointers[0] == pointers[1]
    assert bases(str(tiny_base), precision="bf16").model.dtype is torch.bfloat16


def test_a_twin_has_layers_of_its_own() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    made = twin(model)
    assert made[0] is not model[0] and made[0].weight is model[0].weight
    made[0] = torch.nn.Identity()
    assert isinstance(model[0], torch.nn.Linear)
    assert isinstance(made[1].running_mean, torch.Tensor) and made[1].running_mean is model[1].running_mean
