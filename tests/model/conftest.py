from __future__ import annotations

import pytest
from transformers import PreTrainedModel


@pytest.fixture
def precise_model(tiny_model: PreTrainedModel) -> PreTrainedModel:
    """In float64, but for Gemma-2: its softmax is float32, in which float64's lowest number is minus infinity."""
    return tiny_model if tiny_model.config.model_type == "gemma2" else tiny_model.double()
