"""Phrase detection with OWLv2 (Minderer et al., 2023, arXiv:2306.09683), by which the paper finds attributes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...auto_scene.cutouts.regions import Box, Detection
from ...auto_scene.networks.hub_folder import HubFolder
from ...errors import LumosXError, MissingPackageError, shown
from ...prompt.match import split_number
from ..networks import NetworkNote
from .pixels import OPENAI, Preparation, normalised
from .released import OWL, weights_note

OWL_SOURCE = "Give the folder of google/owlv2-base-patch16-ensemble as the hub has it, with model.safetensors."
_PADDING = 0.5  # the grey around an image that is not square


class OwlFinder:
    """A phrase finder.

    Args:
        model: OWLv2 as transformers builds it.
        tokenizer: the one that belongs to it.
        preparation: of its images, of which mean and deviation count.
        note: for reports.
        threshold: detections with a lower score, 0..1, are not reported.
    """

    def __init__(
        self, model: Any, tokenizer: Any, preparation: Preparation, note: NetworkNote, *, threshold: float = 0.1
    ):
        self.model = model  # transformers' own interface has no types
        self.tokenizer = tokenizer
        self.preparation = preparation
        self.note = note
        self.threshold = threshold

    @classmethod
    def load(
        cls, folder: str | os.PathLike, *, threshold: float = 0.1, device: str | torch.device | None = None
    ) -> OwlFinder:
        """Open a folder in the transformers format; nothing is downloaded and no code in it is run.

        Raises:
            LumosXError: no such folder, another model, or a damaged one.
            MissingPackageError: transformers is not installed.
        """
        try:
            from transformers import AutoTokenizer, Owlv2ForObjectDetection
        except ImportError as error:
            raise MissingPackageError("transformers", "Finding phrases with OWLv2", error) from error
        path = Path(folder).expanduser()
        hub = HubFolder(path, ("owlv2",), "OWLv2", OWL_SOURCE)
        model = hub.ready_network(Owlv2ForObjectDetection.from_pretrained, device=device)
        side = model.config.vision_config.image_size
        preparation = Preparation.read(hub, Preparation(side, side, *OPENAI))
        tokenizer = hub.open(AutoTokenizer.from_pretrained)
        return cls(model, tokenizer, preparation, weights_note("OWLv2", path, OWL), threshold=threshold)

    @torch.no_grad()
    def find(self, image: Tensor, phrases: Sequence[str]) -> list[list[Detection]]:
        """Detections of each phrase in an (H, W, 3) image of 0..1, best first; "man#2" is searched as "man".

        Raises:
            LumosXError: a phrase is longer than the network reads (16 tokens in the release).
        """
        if not phrases:
            return []
        device = next(self.model.parameters()).device
        tokens = self._tokens(phrases)
        answer = self.model(pixel_values=self._pixels(image).to(device), **tokens.to(device))
        boxes = self._corners(answer.pred_boxes[0].float().cpu(), image)
        scores = answer.logits[0].float().cpu().sigmoid()  # (boxes, phrases)
        return [self._detections(boxes, scores[:, column]) for column in range(len(phrases))]

    def _tokens(self, phrases: Sequence[str]) -> Any:
        longest = self.model.config.text_config.max_position_embeddings
        words = [split_number(phrase)[0] for phrase in phrases]
        for phrase, each in zip(phrases, words, strict=True):
            if (count := len(self.tokenizer(each)["input_ids"])) > longest:
                raise LumosXError(
                    f"The phrase {shown(phrase, 60)!r} has {count} tokens, OWLv2 reads {longest}. Shorten it."
                )
        return self.tokenizer(words, return_tensors="pt", padding="max_length", max_length=longest)

    def _pixels(self, image: Tensor) -> Tensor:
        """(H, W, 3) -> (1, 3, side, side): at the top left of a grey square, scaled as a whole."""
        height, width = image.shape[:2]
        square = torch.full((max(height, width), max(height, width), 3), _PADDING)
        square[:height, :width] = image
        side = self.model.config.vision_config.image_size
        small = F.interpolate(square.permute(2, 0, 1)[None], size=(side, side), mode="bilinear", antialias=True)
        return normalised(small.permute(0, 2, 3, 1), self.preparation.mean, self.preparation.deviation)

    def _corners(self, boxes: Tensor, image: Tensor) -> Tensor:
        """(n, 4) centre and size as fractions of the square -> left, top, right, bottom in pixels of the image."""
        height, width = image.shape[:2]
        centre, size = boxes[:, :2], boxes[:, 2:]
        corners = torch.cat([centre - size / 2, centre + size / 2], dim=1) * max(height, width)
        return corners.clamp(min=0).minimum(torch.tensor([width, height, width, height], dtype=corners.dtype))

    def _detections(self, boxes: Tensor, scores: Tensor) -> list[Detection]:
        # In the grey beside the image there is nothing.
        large = ((boxes[:, 2:] - boxes[:, :2]) >= 0.5).all(dim=1)
        candidates = (large & (scores >= self.threshold)).nonzero()[:, 0]
        order = candidates[scores[candidates].argsort(descending=True)]
        return [
            Detection(Box(*corners), score)
            for corners, score in zip(boxes[order].tolist(), scores[order].tolist(), strict=True)
        ]
