"""The network that a run trains: from a file or from nothing, with LoRA layers or without."""

from __future__ import annotations

from dataclasses import asdict, replace

import torch

from lumosx_core import LumosXConfig, LumosXModel
from lumosx_core.models.lumosx.weights import load_model

from .batches.noise import draw_seed
from .config import TrainConfig


def starting_model(config: TrainConfig) -> LumosXModel:
    """Build the network on the CPU, in training mode; what is drawn depends on the seed alone.

    Raises:
        LumosXError: the file cannot be read or is no such network, or a LoRA target does not exist.
    """
    settings = config.model
    options = {
        "text_len": settings.text_len,
        "mcam_ratio": settings.mcam_ratio,
        "r2pe": settings.r2pe,
        "csam": settings.csam,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw_seed("start", config.training.seed))
        if settings.file is None:
            model = LumosXModel(LumosXConfig(**asdict(settings.sizes), **options))
        else:
            model = load_model(settings.file, dtype=getattr(torch, settings.dtype))
            model.config = replace(model.config, **options)  # none of them shows in the weights
        if config.lora is not None:
            from ..lora import add_lora

            add_lora(model, config.lora)
    return model.train()
