"""X-CLIP (Ni et al., 2022, arXiv:2208.02816): videos and captions in one space.

The paper's VideoCLIP-XL-v2 has code of its own and is not part of transformers. X-CLIP is used instead, and its note
says so.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...auto_scene.networks.hub_folder import HubFolder
from ...errors import LumosXError, MissingPackageError, shown
from ..networks import NetworkNote
from .pixels import IMAGENET, Preparation, normalised, stretched, unit
from .released import weights_note

XCLIP_SOURCE = "Give the folder of microsoft/xclip-base-patch32 or another X-CLIP, with model.safetensors."

log = logging.getLogger(__name__)


class XClipEmbedder:
    """A video and text embedder.

    Args:
        model: X-CLIP as transformers builds it.
        tokenizer: the one that belongs to it.
        preparation: of its frames, of which mean and deviation count.
        note: for reports.
    """

    def __init__(self, model: Any, tokenizer: Any, preparation: Preparation, note: NetworkNote):
        self.model = model  # transformers' own interface has no types
        self.tokenizer = tokenizer
        self.preparation = preparation
        self.note = note

    @classmethod
    def load(cls, folder: str | os.PathLike, *, device: str | torch.device | None = None) -> XClipEmbedder:
        """Open a folder in the transformers format; nothing is downloaded and no code in it is run.

        Raises:
            LumosXError: no such folder, another model, or a damaged one.
            MissingPackageError: transformers is not installed.
        """
        try:
            from transformers import AutoTokenizer, XCLIPModel
        except ImportError as error:
            raise MissingPackageError("transformers", "Scoring videos with X-CLIP", error) from error
        path = Path(folder).expanduser()
        hub = HubFolder(path, ("xclip",), "X-CLIP", XCLIP_SOURCE)
        model = hub.ready_network(XCLIPModel.from_pretrained, device=device)
        side = model.config.vision_config.image_size
        preparation = Preparation.read(hub, Preparation(side, side, *IMAGENET))
        tokenizer = hub.open(AutoTokenizer.from_pretrained)
        return cls(model, tokenizer, preparation, weights_note("X-CLIP instead of VideoCLIP-XL-v2", path, None))

    @torch.no_grad()
    def embed_video(self, frames: Tensor) -> Tensor:
        """(F, H, W, 3) of 0..1 -> (d,) of length 1.

        As many frames as the network takes are chosen evenly, F // n apart; a shorter video repeats frames. They are
        brought to the network's square directly, as in the released benchmark.

        Raises:
            LumosXError: no frame.
        """
        if frames.ndim != 4 or not len(frames):
            raise LumosXError(f"A video has shape {tuple(frames.shape)}, expected (frames, height, width, 3).")
        device = next(self.model.parameters()).device
        vision = self.model.config.vision_config
        count = vision.num_frames
        chosen = frames[torch.arange(count) * len(frames) // count]
        small = stretched(chosen, vision.image_size)
        pixels = normalised(small, self.preparation.mean, self.preparation.deviation).to(device)
        of_frames = self.model.visual_projection(self.model.vision_model(pixel_values=pixels).pooler_output)
        return unit(self.model.mit(of_frames[None])[1][0])  # the second value is the mean over time

    @torch.no_grad()
    def embed_text(self, text: str) -> Tensor:
        """(d,) of length 1; the end of a caption that is longer than the network reads is left out, and logged."""
        device = next(self.model.parameters()).device
        longest = self.model.config.text_config.max_position_embeddings
        tokens = self.tokenizer(text, return_tensors="pt", truncation=True, max_length=longest)
        whole = len(self.tokenizer(text)["input_ids"])
        if whole > longest:
            log.warning("X-CLIP reads %d of the %d tokens of the caption %s.", longest, whole, shown(text, 60))
        pooled = self.model.text_model(**tokens.to(device)).pooler_output
        return unit(self.model.text_projection(pooled)[0])
