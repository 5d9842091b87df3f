from __future__ import annotations

import pytest
import torch
from torch import nn

from predgen.errors import ConfigError
from predgen.sharded import asked_to_shard, divided_like, is_sharded, whole


def test_one_process_has_whole_weights() -> None:
    module, tensor = nn.Linear(2, 2), torch.ones(2, 2)
    assert not is_sharded(module)
    assert whole(tensor) is tensor and divided_like(tensor, module.weight) is tensor


def test_what_the_launcher_asks_for_is_read_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not asked_to_shard()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match=r"FSDP version 1.*fsdp_version: 2"):
        asked_to_shard()
    monkeypatch.setenv("FSDP_VERSION", "2")
    assert asked_to_shard()
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(ConfigError, match=r"DeepSpeed.*pickles.*fsdp.yaml"):
        asked_to_shard()
