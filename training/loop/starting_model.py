"""The network that a run trains: from a file or from nothing, with LoRA layers or without."""

from __future__ import annotations

import torch
from torch import nn

from .batches.noise import draw_seed
from .config import TrainConfig


def starting_model(config: TrainConfig) -> nn.Module:
    """Build the network on the CPU, in training mode; what is drawn depends on the seed alone.

    Raises:
        LumosXError: the file cannot be read or is no such network, or a LoRA target does not exist.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw_seed("start", config.training.seed))
        model = config.recipe.network(config.model)
        if config.lora is not None:
            from ..lora import add_lora

            add_lora(model, config.lora)
    return model.train()
