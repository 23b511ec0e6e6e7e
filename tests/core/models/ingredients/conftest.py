"""The miniature network behind the reference numbers of Ingredients (CogVideoX)."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from lumosx_core import IngredientsConfig, IngredientsModel


@pytest.fixture(scope="session")
def recorded_config(golden_ingredients) -> IngredientsConfig:
    return IngredientsConfig.from_dict(json.loads((golden_ingredients / "transformer" / "config.json").read_text()))


@pytest.fixture(scope="session")
def recorded_network(golden_ingredients, recorded_config) -> IngredientsModel:
    """The recorded network; tests leave it unchanged."""
    model = IngredientsModel(recorded_config)
    model.load_state_dict(load_file(golden_ingredients / "transformer" / "weights.safetensors"), strict=True)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def recorded(golden_ingredients) -> dict[str, torch.Tensor]:
    """Recorded inputs and outputs."""
    return load_file(golden_ingredients / "transformer" / "golden.safetensors")
