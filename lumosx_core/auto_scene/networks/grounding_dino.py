"""Phrase detection with Grounding DINO (Liu et al., 2023, arXiv:2303.05499)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import LumosXError, MissingPackageError
from ...prompt.match import split_number
from ..cutouts.regions import Box, Detection
from .hub_folder import HubFolder
from .known import MODEL_TYPES

_WHERE_TO_GET = (
    "Give the folder of a Grounding DINO model in the transformers format, such as IDEA-Research/grounding-dino-tiny "
    "as the hub has it (config.json, model.safetensors, tokenizer files)."
)
_OVERLAP = 0.7  # of two boxes of one phrase, as intersection over union: above it they are the same thing
# What the released networks were trained with; a folder's preprocessor_config.json may say otherwise.
_PREPARATION = {
    "size": {"shortest_edge": 800, "longest_edge": 1333},
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


class GroundingDino:
    """A phrase finder.

    Args:
        model: Grounding DINO as transformers builds it. It may be moved between devices; the parameters' own device
            and dtype are looked at on each call.
        tokenizer: the one that belongs to it, of BERT's kind.
        threshold: detections with a lower score, 0..1, are not reported.
        preparation: size, mean and standard deviation of the images, as preprocessor_config.json names them.
    """

    def __init__(self, model: Any, tokenizer: Any, *, threshold: float = 0.3, preparation: dict = _PREPARATION):
        self.model = model  # a torch module with transformers' own interface, which has no types
        self.tokenizer = tokenizer
        self.threshold = threshold
        self.preparation = preparation

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        threshold: float = 0.3,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> GroundingDino:
        """Open a folder in the transformers format; nothing is downloaded and no code in it is run.

        Args:
            device: None for the CPU.
            dtype: of the weights; None for float32.

        Raises:
            LumosXError: no such folder, another model, or a damaged one.
            MissingPackageError: transformers is not installed.
        """
        try:
            from transformers import AutoModelForZeroShotObjectDetection, AutoTokenizer
        except ImportError as error:
            raise MissingPackageError("transformers", "Finding phrases in photos", error) from error
        path = Path(folder).expanduser()
        _refuse_authors_format(path)
        hub = HubFolder(path, MODEL_TYPES["phrases"], "Grounding DINO", _WHERE_TO_GET)
        hub.model_type()
        preparation = _preparation_in(hub)
        # The kernels compiled for deformable attention are fetched or built on first use; plain torch will do.
        opened = AutoModelForZeroShotObjectDetection.from_pretrained
        model = hub.ready_network(opened, device=device, dtype=dtype, disable_custom_kernels=True)
        tokenizer = hub.open(AutoTokenizer.from_pretrained)
        return cls(model, tokenizer, threshold=threshold, preparation=preparation)

    @torch.no_grad()
    def find(self, image: Tensor, phrases: Sequence[str]) -> list[list[Detection]]:
        """Detections of each phrase in an (H, W, 3) photo of 0..1, best first; "man#2" is searched as "man".

        A phrase's score at a box is the highest of its own tokens' probabilities there. Phrases share one pass of the
        network, as in its training; those beyond its limit of text go into further passes.

        Raises:
            LumosXError: a phrase has no words, or is too long for the network.
        """
        tokens = [self._tokens(phrase) for phrase in phrases]
        if not tokens:
            return []
        height, width = image.shape[:2]
        pixels = self._pixels(image)
        found: dict[tuple[int, ...], list[Detection]] = {}
        for ids, spans in self._passes(list(dict.fromkeys(tokens))):
            answer = self.model(pixel_values=pixels, input_ids=torch.tensor([ids], device=pixels.device))
            boxes = _corners(answer.pred_boxes[0].float().cpu(), height, width)
            probabilities = answer.logits[0].float().cpu().sigmoid()
            for words, span in spans.items():
                found[words] = self._detections(boxes, probabilities[:, span].amax(dim=1))
        return [found[words] for words in tokens]

    def _pixels(self, image: Tensor) -> Tensor:
        """(H, W, 3) photo -> (1, 3, h, w) in the network's size, device and dtype."""
        parameter = next(self.model.parameters())
        size = self.preparation["size"]
        height, width = image.shape[:2]
        h, w = _network_size(height, width, size["shortest_edge"], size["longest_edge"])
        small = F.interpolate(image.permute(2, 0, 1)[None], size=(h, w), mode="bilinear", antialias=True)
        mean, deviation = (torch.tensor(self.preparation[name])[:, None, None] for name in ("image_mean", "image_std"))
        return ((small - mean) / deviation).to(parameter)

    def _tokens(self, phrase: str) -> tuple[int, ...]:
        """Of a phrase as the network was trained: lower case, and without the marks that end a phrase for it."""
        words, _ = split_number(phrase)
        text = re.sub("[.?]", " ", words.lower())
        tokens = self.tokenizer.encode(text, add_special_tokens=False)
        longest = self.model.config.max_text_len - 3
        if not tokens:
            raise LumosXError(f"The phrase {phrase!r} has no words that could be searched for. Write what it names.")
        if len(tokens) > longest:
            raise LumosXError(
                f'The phrase "{phrase[:60]}..." has {len(tokens)} tokens, Grounding DINO reads {longest}. Shorten it.'
            )
        return tuple(tokens)

    def _passes(self, phrases: Sequence[tuple[int, ...]]) -> Iterator[tuple[list[int], dict[tuple[int, ...], slice]]]:
        """Phrases joined as "a . b ." until the network's limit is reached: token ids, and the slice of each phrase."""
        start, end = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        stop = self.tokenizer.convert_tokens_to_ids(".")
        ids: list[int] = [start]
        spans: dict[tuple[int, ...], slice] = {}
        for words in phrases:
            if len(ids) + len(words) + 2 > self.model.config.max_text_len:
                yield [*ids, end], spans
                ids, spans = [start], {}
            spans[words] = slice(len(ids), len(ids) + len(words))
            ids += [*words, stop]
        if spans:
            yield [*ids, end], spans

    def _detections(self, boxes: Tensor, scores: Tensor) -> list[Detection]:
        """The best of (n, 4) boxes and (n,) scores, without those that show the same thing as a better one."""
        # Less than half a pixel is nothing that could be cut out.
        large = ((boxes[:, 2:] - boxes[:, :2]) >= 0.5).all(dim=1)
        candidates = (large & (scores >= self.threshold)).nonzero()[:, 0]
        order = candidates[scores[candidates].argsort(descending=True)]
        kept: list[Detection] = []
        for corners, score in zip(boxes[order].tolist(), scores[order].tolist(), strict=True):
            box = Box(*corners)
            if all(box.iou(other.box) <= _OVERLAP for other in kept):
                kept.append(Detection(box, score))
        return kept


def _network_size(height: int, width: int, shortest: int, longest: int) -> tuple[int, int]:
    """Height and width of the image in the network: its short side as wanted, unless the long one gets too long."""
    short, long = min(height, width), max(height, width)
    size = min(float(shortest), longest * short / long)
    # The short side is rounded, the long one truncated, as in training. A hair-thin image keeps a pixel.
    short_side, long_side = max(1, round(size)), max(1, int(size * long / short))
    return (short_side, long_side) if height <= width else (long_side, short_side)


def _corners(boxes: Tensor, height: int, width: int) -> Tensor:
    """(n, 4) centre and size as fractions of the image -> left, top, right, bottom in pixels inside it."""
    centre, size = boxes[:, :2], boxes[:, 2:]
    corners = torch.cat([centre - size / 2, centre + size / 2], dim=1).clamp(0, 1)
    return corners * torch.tensor([width, height, width, height])


def _refuse_authors_format(path: Path) -> None:
    folder = path if os.path.isdir(path) else path.parent
    if not os.path.isfile(path / "config.json") and any(folder.glob("groundingdino*.pth")):
        raise LumosXError(
            f"{path} is Grounding DINO in its authors' own format (groundingdino_*.pth), which is not read. "
            f"{_WHERE_TO_GET}"
        )


def _preparation_in(folder: HubFolder) -> dict:
    stored = folder.settings("preprocessor_config.json")
    size = stored.get("size")
    if not (isinstance(size, dict) and all(size.get(edge) for edge in _PREPARATION["size"])):
        stored.pop("size", None)  # older files hold a single number
    return {name: stored.get(name) or value for name, value in _PREPARATION.items()}
