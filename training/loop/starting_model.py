"""The network that a run trains: from a file or from nothing, with LoRA layers or without."""

from __future__ import annotations

from dataclasses import asdict, replace

import torch

from lumosx_core import LumosXConfig, LumosXModel
from lumosx_core.models.lumosx.weights.load import build_model, open_network

from .batches.noise import draw_seed
from .config import TrainConfig


def starting_model(config: TrainConfig) -> LumosXModel:
    """Build the network on the CPU, in training mode; what is drawn depends on the seed alone.

    Raises:
        LumosXError: the file cannot be read or is no such network, or a LoRA target does not exist.
    """
    settings = config.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw_seed("start", config.training.seed))
        if settings.file is None:
            assert settings.sizes is not None  # ModelSettings requires one of the two
            model = LumosXModel(LumosXConfig(**asdict(settings.sizes), text_len=settings.text_len))
        else:
            network = open_network(settings.file)
            sizes = replace(network.config, text_len=settings.text_len)  # which does not show in the weights
            model = build_model(replace(network, config=sizes), dtype=getattr(torch, settings.dtype))
        if config.lora is not None:
            from ..lora import add_lora

            add_lora(model, config.lora)
    return model.train()
