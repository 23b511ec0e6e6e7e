"""DINOv2 (Oquab et al., 2023, arXiv:2304.07193): images by how they look, for DINO-I."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...auto_scene.networks.hub_folder import HubFolder
from ...errors import MissingPackageError
from ..networks import NetworkNote
from .pixels import BATCH, IMAGENET, Preparation, unit
from .released import DINO, weights_note

DINO_SOURCE = "Give the folder of facebook/dinov2-base as the hub has it, with model.safetensors."
_PREPARATION = Preparation(256, 224, *IMAGENET)


class DinoEmbedder:
    """An image embedder: the normalised class token.

    Args:
        model: DINOv2 as transformers builds it.
        preparation: of its images.
        note: for reports.
    """

    def __init__(self, model: Any, preparation: Preparation, note: NetworkNote):
        self.model = model  # transformers' own interface has no types
        self.preparation = preparation
        self.note = note

    @classmethod
    def load(cls, folder: str | os.PathLike, *, device: str | torch.device | None = None) -> DinoEmbedder:
        """Open a folder in the transformers format; nothing is downloaded and no code in it is run.

        Raises:
            LumosXError: no such folder, another model, or a damaged one.
            MissingPackageError: transformers is not installed.
        """
        try:
            from transformers import Dinov2Model
        except ImportError as error:
            raise MissingPackageError("transformers", "Scoring images with DINOv2", error) from error
        path = Path(folder).expanduser()
        hub = HubFolder(path, ("dinov2",), "DINOv2", DINO_SOURCE)
        model = hub.ready_network(Dinov2Model.from_pretrained, device=device)
        preparation = Preparation.read(hub, _PREPARATION)
        name = f"DINOv2 ViT, {model.config.num_hidden_layers} layers of width {model.config.hidden_size}"
        return cls(model, preparation, weights_note(name, path, DINO))

    @torch.no_grad()
    def embed(self, images: Sequence[Tensor]) -> Tensor:
        """(H, W, 3) images of 0..1 -> (N, d) of length 1.

        Raises:
            LumosXError: the network gives values that are not numbers.
        """
        device = next(self.model.parameters()).device
        found = [torch.zeros(0, self.model.config.hidden_size)]
        for start in range(0, len(images), BATCH):
            pixels = self.preparation.batch(images[start : start + BATCH]).to(device)
            found.append(unit(self.model(pixel_values=pixels).pooler_output))
        return torch.cat(found)
