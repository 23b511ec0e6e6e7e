"""CLIP (Radford et al., 2021, arXiv:2103.00020): images and phrases in one space, for CLIP-I and CLIP-T."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...auto_scene.networks.hub_folder import HubFolder
from ...errors import LumosXError, MissingPackageError, shown
from ..networks import NetworkNote
from .pixels import BATCH, OPENAI, Preparation, unit
from .released import CLIP, weights_note

CLIP_SOURCE = "Give the folder of openai/clip-vit-large-patch14 as the hub has it, with model.safetensors."


class ClipEmbedder:
    """A text and image embedder.

    Args:
        model: CLIP as transformers builds it.
        tokenizer: the one that belongs to it.
        preparation: of its images.
        note: for reports.
    """

    def __init__(self, model: Any, tokenizer: Any, preparation: Preparation, note: NetworkNote):
        self.model = model  # transformers' own interface has no types
        self.tokenizer = tokenizer
        self.preparation = preparation
        self.note = note

    @classmethod
    def load(cls, folder: str | os.PathLike, *, device: str | torch.device | None = None) -> ClipEmbedder:
        """Open a folder in the transformers format; nothing is downloaded and no code in it is run.

        Raises:
            LumosXError: no such folder, another model, or a damaged one.
            MissingPackageError: transformers is not installed.
        """
        try:
            from transformers import AutoTokenizer, CLIPModel
        except ImportError as error:
            raise MissingPackageError("transformers", "Scoring images with CLIP", error) from error
        path = Path(folder).expanduser()
        hub = HubFolder(path, ("clip",), "CLIP", CLIP_SOURCE)
        model = hub.ready_network(CLIPModel.from_pretrained, device=device)
        side = model.config.vision_config.image_size
        preparation = Preparation.read(hub, Preparation(side, side, *OPENAI))
        if preparation.crop != side:
            raise LumosXError(
                f"{path} is damaged: its images are prepared at {preparation.crop} pixels, but the network takes "
                f"{side}. Download it again."
            )
        tokenizer = hub.open(AutoTokenizer.from_pretrained)
        vision = model.config.vision_config
        name = f"CLIP ViT, {vision.num_hidden_layers} layers, patches of {vision.patch_size}"
        return cls(model, tokenizer, preparation, weights_note(name, path, CLIP))

    @torch.no_grad()
    def embed(self, images: Sequence[Tensor]) -> Tensor:
        """(H, W, 3) images of 0..1 -> (N, d) of length 1, in the space that phrases share.

        Raises:
            LumosXError: the network gives values that are not numbers.
        """
        device = next(self.model.parameters()).device
        found = [torch.zeros(0, self.model.config.projection_dim)]
        for start in range(0, len(images), BATCH):
            pixels = self.preparation.batch(images[start : start + BATCH]).to(device)
            pooled = self.model.vision_model(pixel_values=pixels).pooler_output
            found.append(unit(self.model.visual_projection(pooled)))
        return torch.cat(found)

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """(N, d) of length 1.

        Raises:
            LumosXError: a text is longer than the network reads (77 tokens in the release).
        """
        device = next(self.model.parameters()).device
        longest = self.model.config.text_config.max_position_embeddings
        found = [torch.zeros(0, self.model.config.projection_dim)]
        for text in texts:
            tokens = self.tokenizer(text, return_tensors="pt")
            if tokens["input_ids"].shape[1] > longest:
                raise LumosXError(
                    f"The phrase {shown(text, 60)!r} has {tokens['input_ids'].shape[1]} tokens, CLIP reads {longest}. "
                    f"Shorten it."
                )
            pooled = self.model.text_model(**tokens.to(device)).pooler_output
            found.append(unit(self.model.text_projection(pooled)))
        return torch.cat(found)
